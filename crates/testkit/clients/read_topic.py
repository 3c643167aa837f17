"""Reads a topic from its beginning to its end with confluent-kafka, as an analyst's program would.

Only committed records are read. Each becomes a line of JSON: key, partition, offset, timestamp (milliseconds), headers
and value, which the Avro deserializer reads with the registry's schemas (with `--raw`, the bytes in base64; with
`--bytes`, those beside it; with `--latest`, only the last record of each key). A record that can't be read ends it with
exit code 1 and names the record.
"""

import argparse
import base64
import datetime
import decimal
import json
import sys
import time
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def as_json(value):
    """What Avro's logical types become in JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    raise TypeError(f"{type(value)} has no form in JSON")


def text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def value_reader(arguments):
    if arguments.raw:
        return lambda record: record.value()
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": arguments.registry}))
    context = SerializationContext(arguments.topic, MessageField.VALUE)
    return lambda record: deserialize(record.value(), context)


def records(consumer, arguments):
    """All up to the end of each partition; with `--count`, on until there are so many."""
    deadline = time.monotonic() + arguments.timeout
    topics = consumer.list_topics(arguments.topic, timeout=arguments.timeout).topics
    partitions = topics[arguments.topic].partitions
    if topics[arguments.topic].error is not None:
        sys.exit(f"{arguments.topic}: {topics[arguments.topic].error}")
    consumer.assign([TopicPartition(arguments.topic, number, OFFSET_BEGINNING) for number in partitions])
    open_partitions, count = set(partitions), 0
    while open_partitions or count < arguments.count:
        if time.monotonic() > deadline:
            missing = sorted(open_partitions)
            sys.exit(f"{arguments.topic}: {count} records within {arguments.timeout} s; end not reached of {missing}")
        record = consumer.poll(0.1)
        if record is None:
            continue
        if record.error() is None:
            count += 1
            yield record
        elif record.error().code() == KafkaError._PARTITION_EOF:
            open_partitions.discard(record.partition())
        else:
            sys.exit(f"{arguments.topic}: {record.error()}")


def latest(all_records):
    """Those with the last of each key, in the order of their offsets."""
    last = {(record.partition(), record.key()): record for record in all_records}
    return sorted(last.values(), key=lambda record: (record.partition(), record.offset()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap_servers")
    parser.add_argument("registry")
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, default=0, help="wait for at least so many records")
    parser.add_argument("--timeout", type=float, default=30, help="in seconds")
    parser.add_argument("--raw", action="store_true", help="do not read values as Avro")
    parser.add_argument("--latest", action="store_true", help="give only the last record of each key and partition")
    parser.add_argument("--bytes", action="store_true", help="give values also as they are")
    parser.add_argument("--output", type=argparse.FileType("w", encoding="utf-8"), default=sys.stdout)
    arguments = parser.parse_args()
    read_value = value_reader(arguments)
    consumer = Consumer({
        "bootstrap.servers": arguments.bootstrap_servers,
        "group.id": f"read-topic-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
    })
    try:
        for record in (latest if arguments.latest else iter)(records(consumer, arguments)):
            try:
                value = read_value(record)
            except Exception as error:
                sys.exit(f"{arguments.topic} {record.partition()}@{record.offset()} can't be read: {error}")
            line = {
                "key": text(record.key()),
                "partition": record.partition(),
                "offset": record.offset(),
                "timestamp": record.timestamp()[1],
                "headers": [[name, text(header)] for name, header in record.headers() or []],
                "value": value,
            }
            if arguments.bytes:
                line["bytes"] = record.value()
            print(json.dumps(line, default=as_json), file=arguments.output)
    finally:
        consumer.close()
        arguments.output.flush()


if __name__ == "__main__":
    main()
