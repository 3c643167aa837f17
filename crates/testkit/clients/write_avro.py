"""Writes records to a topic with confluent-kafka, as a storefront's own program would, well or badly.

RECORDS is a file with a JSON object a line. A record: `value` (written with the Avro serializer), or `bytes` (base64, written as
they are) or neither (no value); and `key`, `headers` (an object), `partition`, where there are any. `{"do": "begin"}`,
`"commit"` and `"abort"` are transactions. What the broker refuses ends it with exit code 1.
"""

import argparse
import base64
import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def serializer(arguments):
    registry = SchemaRegistryClient({"url": arguments.registry})
    if arguments.schema is None:
        return AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    # Under the subject of another topic where one is named: the id of a schema is the same on all of them.
    subject = arguments.subject or f"{arguments.topic}-value"
    return AvroSerializer(registry, arguments.schema.read(), conf={"subject.name.strategy": lambda *_: subject})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap_servers")
    parser.add_argument("registry")
    parser.add_argument("topic")
    parser.add_argument("records", type=argparse.FileType(encoding="utf-8"))
    parser.add_argument("--set", action="append", default=[], help="a setting of the producer, name=value")
    parser.add_argument("--schema", type=argparse.FileType(), help="the writer's schema; else the latest registered")
    parser.add_argument("--subject", help="where that schema is registered; else the topic's")
    arguments = parser.parse_args()
    serialize = serializer(arguments)
    context = SerializationContext(arguments.topic, MessageField.VALUE)
    settings = dict(setting.split("=", 1) for setting in arguments.set)
    producer = Producer({"bootstrap.servers": arguments.bootstrap_servers, "acks": "all"} | settings)
    if "transactional.id" in settings:
        producer.init_transactions()
    refused = []

    def delivered(error, record):
        if error is not None:
            refused.append(f"{record.key()}: {error}")

    def send(line):
        value = base64.b64decode(line["bytes"]) if "bytes" in line else None
        if "value" in line:
            value = serialize(line["value"], context)
        place = {"partition": line["partition"]} if "partition" in line else {}
        headers = list(line.get("headers", {}).items())
        producer.produce(
            arguments.topic, key=line.get("key"), value=value, headers=headers, on_delivery=delivered, **place
        )
        producer.poll(0)

    for line in map(json.loads, arguments.records):
        if line.get("do") == "begin":
            producer.begin_transaction()
        elif line.get("do") == "commit":
            producer.commit_transaction()
        elif line.get("do") == "abort":
            # What is aborted has been written before.
            producer.flush()
            producer.abort_transaction()
        else:
            send(line)
    producer.flush()
    for refusal in refused:
        print(refusal, file=sys.stderr)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
