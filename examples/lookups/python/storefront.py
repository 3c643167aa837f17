"""What a storefront shows a customer, by who she is: her segments and how promising she is, asked of Vuelve over gRPC.

    pip install grpcio grpcio-tools
    VUELVE_TOKEN=... python3 storefront.py --vuelve 127.0.0.1:9601 ana

A page never waits for longer than its deadline, and is shown to everybody where there is no answer.
"""

import argparse
import os
import sys
import uuid
from pathlib import Path

import grpc

# The contract is read as it is: nothing is generated and kept. Where it lies in your own project, name that folder.
PROTO = os.environ.get("VUELVE_PROTO", str(Path(__file__).resolve().parents[3] / "proto"))
sys.path.insert(0, PROTO)
messages, services = grpc.protos_and_services("vuelve/segmentation/v1/segmentation.proto")

# What a page may cost its visitor.
DEADLINE_SECONDS = 0.3
# Of all that is known of her, what the page needs, and no more: no traits, hence no personal data.
FIELDS = ["segments", "lead_score.value"]


class Storefront:
    """Asks over one connection, which is made once and used by every page."""

    def __init__(self, address, token, deadline_seconds=DEADLINE_SECONDS):
        # On another machine: grpc.secure_channel with the authority of `grpc.tls`, and a certificate where it asks for one.
        self.customers = services.SegmentationServiceStub(grpc.insecure_channel(address))
        self.token = token
        self.deadline_seconds = deadline_seconds

    def page(self, customer_id):
        """What is shown; the second is what to log beside the request id."""
        # With this id, the log and the trace of Vuelve tell of this very call.
        request_id = str(uuid.uuid4())
        request = messages.GetCustomerRequest(customer_id=customer_id)
        request.read_mask.paths.extend(FIELDS)
        metadata = [("x-request-id", request_id)]
        if self.token:
            metadata.append(("authorization", f"Bearer {self.token}"))
        try:
            customer = self.customers.GetCustomer(
                request, timeout=self.deadline_seconds, metadata=metadata
            ).customer
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return "for everybody", f"{request_id} nobody knows her"
            # Too late, away, too much at once, or a wrong token: what the page is for goes on.
            return "for everybody", f"{request_id} {error.code().name}"
        segments = {membership.segment for membership in customer.segments}
        return banner(segments, customer.lead_score.value), f"{request_id} {sorted(segments)} {customer.lead_score.value}"


def banner(segments, lead_score):
    """Which of the page's banners a customer sees."""
    if "vip" in segments:
        return "for our best customers"
    if "new" in segments:
        return "welcome"
    if lead_score >= 60:
        return "ready to buy"
    return "for everybody"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--vuelve", default="127.0.0.1:9601", help="where `grpc.listen` is")
    arguments.add_argument("--deadline", type=float, default=DEADLINE_SECONDS, help="in seconds")
    arguments.add_argument("customer", nargs="+")
    given = arguments.parse_args()
    storefront = Storefront(given.vuelve, os.environ.get("VUELVE_TOKEN"), given.deadline)
    for customer in given.customer:
        shown, told = storefront.page(customer)
        print(f"{customer}: {shown}")
        print(told, file=sys.stderr)


if __name__ == "__main__":
    main()
