"""Stands in for the door: answers batches with a given status and writes each event as a line of JSON."""

import gzip
import http.server
import json
import sys

port, status, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Capture(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        with open(path, "a", encoding="utf-8") as events:
            for event in json.loads(body)["batch"]:
                line = {"path": self.path, "authorization": self.headers["Authorization"], "event": event}
                print(json.dumps(line), file=events)
        answer = b'{"success": true}' if status == 200 else b'{"code": "refused", "message": "on purpose"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Capture)
print("capturing", flush=True)
server.serve_forever()
