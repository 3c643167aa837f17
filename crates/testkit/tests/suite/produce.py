"""Produces to a topic in Avro: two records committed, one aborted, an erasure committed."""

import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

SCHEMA = """{"type": "record", "name": "Left", "fields": [
  {"name": "cart", "type": "string"},
  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "coupon", "type": ["null", "string"], "default": null}]}"""

bootstrap, registry, topic = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": bootstrap})
for created in admin.create_topics([NewTopic(topic, 2, 1)]).values():
    created.result()
serialize = AvroSerializer(SchemaRegistryClient({"url": registry}), SCHEMA)
context = SerializationContext(topic, MessageField.VALUE)
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "produce"})
producer.init_transactions()


def send(cart):
    value = None if cart is None else serialize({"cart": cart, "at": 1_700_000_000_123, "coupon": None}, context)
    producer.produce(topic, key=b"customer-1", value=value, headers=[("traceparent", b"00-1-2-01")])


producer.begin_transaction()
send("first")
send("second")
producer.commit_transaction()
producer.begin_transaction()
send("aborted")
producer.flush()
producer.abort_transaction()
producer.begin_transaction()
send(None)
producer.commit_transaction()
