"""Writes events in Avro straight to Kafka, onto the topic that Vuelve's resolver reads, without a door.

    pip install "confluent-kafka[avro,schemaregistry]"
    python3 send_events.py --bootstrap-servers kafka:9092 --registry http://registry:8081 events.jsonl

FILE has an event a line: the fields of the schema, times in RFC 3339, and what ends in `_json` as an object. All of the file
is written in one transaction, or nothing of it. docs/avro.md says what each line of this program is for.
"""

import argparse
import json
import sys
import time
from datetime import datetime

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

# What broken integrations send in place of an id.
NOBODY = {"", "undefined", "null", "none", "nil", "nan", "n/a", "unknown", "anonymous", "guest", "[object object]", "{}"}


def record_of(event, shop, source):
    """The fields as the schema has them; what is not named takes its default."""
    record = {"shop": shop, "source": source, "received_at": int(time.time() * 1000), **event}
    for name in ("event_time", "sent_at"):
        if isinstance(record.get(name), str):
            record[name] = int(datetime.fromisoformat(record[name].replace("Z", "+00:00")).timestamp() * 1000)
    for name in ("traits_json", "properties_json", "context_json"):
        if isinstance(record.get(name), dict):
            record[name] = json.dumps(record[name], ensure_ascii=False)
    return record


def key_of(record):
    """What a device sends stays on one partition, so its id comes first; an alias lies under the id that is given up."""
    previous = record.get("previous_id") if record["kind"] == "alias" else None
    ids = [previous, record.get("anonymous_id"), record.get("user_id")]
    return next(id for id in ids if id and id.strip().lower() not in NOBODY)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--registry", required=True, help="its URL")
    parser.add_argument("--topic", default="vuelve.storefront.received.v1")
    parser.add_argument("--shop", default="main")
    parser.add_argument("--source", default="avro", help="names this program in events")
    parser.add_argument("--set", action="append", default=[], help="a setting of the client, name=value")
    parser.add_argument("file", type=argparse.FileType(encoding="utf-8"))
    arguments = parser.parse_args()

    registry = SchemaRegistryClient({"url": arguments.registry})
    # The schema is Vuelve's: it is looked up, and nothing is registered in its place.
    serialize = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    context = SerializationContext(arguments.topic, MessageField.VALUE)
    producer = Producer({
        "bootstrap.servers": arguments.bootstrap_servers,
        # Java's partitioner; librdkafka's own puts customers elsewhere.
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "compression.type": "lz4",
        # One for each running copy of this program: who starts with it ends what the last one left open.
        "transactional.id": f"storefront-{arguments.source}",
        "transaction.timeout.ms": 10_000,
        **dict(setting.split("=", 1) for setting in arguments.set),
    })
    producer.init_transactions()
    producer.begin_transaction()
    try:
        written = 0
        for line in arguments.file:
            record = record_of(json.loads(line), arguments.shop, arguments.source)
            producer.produce(arguments.topic, key=key_of(record), value=serialize(record, context))
            producer.poll(0)
            written += 1
        producer.commit_transaction()
    except Exception:
        # The same file can be sent again: what came through before is known by its message ids.
        producer.abort_transaction()
        raise
    print(f"{written} events", file=sys.stderr)


if __name__ == "__main__":
    main()
