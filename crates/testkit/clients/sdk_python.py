"""What the drivers of Segment's and RudderStack's Python SDKs have in common: both have the same calls.

    DRIVER HOST WRITE_KEY CALLS

CALLS is a file with a JSON object a line: type, userId, anonymousId, event, name, category, properties, traits,
groupId, previousId, context, integrations, timestamp (RFC 3339), messageId. Each is handed to the SDK in that order,
then all is flushed. The exit code is 1 if the SDK reported an error for a batch or refused a call.
"""

import datetime
import json
import sys

# The arguments of each kind of call, as they are named in the file and in the SDK.
COMMON = {"context": "context", "integrations": "integrations", "timestamp": "timestamp", "messageId": "message_id"}
WHO = {"userId": "user_id", "anonymousId": "anonymous_id"}
VIEW = {"category": "category", "name": "name", "properties": "properties"}
ARGUMENTS = {
    "identify": WHO | {"traits": "traits"},
    "track": WHO | {"event": "event", "properties": "properties"},
    "page": WHO | VIEW,
    "screen": WHO | VIEW,
    "group": WHO | {"groupId": "group_id", "traits": "traits"},
    "alias": {"userId": "user_id", "previousId": "previous_id"},
}


def arguments_of(call):
    names = ARGUMENTS[call["type"]] | COMMON
    given = {names[name]: value for name, value in call.items() if name in names and value is not None}
    if "timestamp" in given:
        given["timestamp"] = datetime.datetime.fromisoformat(given["timestamp"].replace("Z", "+00:00"))
    return given


def drive(make_client):
    """`make_client(write_key, host, on_error, queue_size)` gives the SDK's client, with its defaults otherwise."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    host, write_key, path = sys.argv[1:]
    with open(path, encoding="utf-8") as lines:
        calls = [json.loads(line) for line in lines if line.strip()]
    errors = []

    def on_error(error, batch):
        errors.append(f"a batch of {len(batch)} was not delivered: {error}")

    # One more than the calls: the queue never refuses one.
    client = make_client(write_key, host, on_error, len(calls) + 1)
    for number, call in enumerate(calls, start=1):
        taken, _ = getattr(client, call["type"])(**arguments_of(call))
        if not taken:
            errors.append(f"the SDK did not take call {number}")
    client.flush()
    client.shutdown()
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{len(calls)} calls, {len(errors)} errors")
    sys.exit(1 if errors else 0)
