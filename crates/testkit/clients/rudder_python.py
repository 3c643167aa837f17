"""Sends a file of calls with RudderStack's official Python SDK; see `sdk_python.py`."""

from rudderstack.analytics.client import Client

from sdk_python import drive

if __name__ == "__main__":
    drive(lambda write_key, host, on_error, queue_size: Client(
        write_key, host=host, on_error=on_error, max_queue_size=queue_size))
