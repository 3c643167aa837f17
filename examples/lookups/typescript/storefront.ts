/**
 * What a storefront shows a customer, by who she is: her segments and how promising she is, asked of Vuelve over gRPC.
 *
 *     npm install && npx tsc
 *     VUELVE_TOKEN=... node storefront.js 127.0.0.1:9601 ana
 *
 * A page never waits for longer than its deadline, and is shown to everybody where there is no answer.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** The contract is read as it is: nothing is generated and kept. Where it lies in your own project, name that folder. */
const PROTO = process.env.VUELVE_PROTO ?? join(__dirname, "../../../proto");
/** What a page may cost its visitor. */
const DEADLINE_MS = 300;
/** Of all that is known of her, what the page needs, and no more: no traits, hence no personal data. */
const FIELDS = ["segments", "lead_score.value"];

interface Customer {
  segments: { segment: string }[];
  lead_score: { value: number } | null;
}

type Answer = grpc.requestCallback<{ customer: Customer }>;

interface Customers extends grpc.Client {
  getCustomer(
    request: { customer_id: string; read_mask: { paths: string[] } },
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    answer: Answer,
  ): grpc.ClientUnaryCall;
}

interface Page {
  shown: string;
  /** What to log: with this id, the log and the trace of Vuelve tell of this very call. */
  told: string;
}

/** Asks over one connection, which is made once and used by every page. */
export class Storefront {
  private readonly customers: Customers;

  constructor(
    address: string,
    private readonly token: string | undefined,
    private readonly deadlineMs: number = DEADLINE_MS,
  ) {
    const definition = loadSync("vuelve/segmentation/v1/segmentation.proto", {
      includeDirs: [PROTO],
      keepCase: true,
      defaults: true,
      longs: Number,
    });
    const service = definition["vuelve.segmentation.v1.SegmentationService"] as grpc.ServiceDefinition;
    const Client = grpc.makeClientConstructor(service, "SegmentationService");
    // On another machine: grpc.credentials.createSsl with the authority of `grpc.tls`, and a certificate where it asks for one.
    this.customers = new Client(address, grpc.credentials.createInsecure()) as unknown as Customers;
  }

  page(customerId: string): Promise<Page> {
    const requestId = randomUUID();
    const metadata = new grpc.Metadata();
    metadata.set("x-request-id", requestId);
    if (this.token) {
      metadata.set("authorization", `Bearer ${this.token}`);
    }
    const request = { customer_id: customerId, read_mask: { paths: FIELDS } };
    const deadline = new Date(Date.now() + this.deadlineMs);
    return new Promise((resolve) => {
      this.customers.getCustomer(request, metadata, { deadline }, (error, answer) => {
        if (error?.code === grpc.status.NOT_FOUND) {
          resolve({ shown: "for everybody", told: `${requestId} nobody knows her` });
        } else if (error || !answer) {
          // Too late, away, too much at once, or a wrong token: what the page is for goes on.
          resolve({ shown: "for everybody", told: `${requestId} ${grpc.status[error?.code ?? grpc.status.UNKNOWN]}` });
        } else {
          const segments = answer.customer.segments.map((membership) => membership.segment);
          const leadScore = answer.customer.lead_score?.value ?? 0;
          resolve({ shown: banner(new Set(segments), leadScore), told: `${requestId} ${segments.sort()} ${leadScore}` });
        }
      });
    });
  }

  close(): void {
    this.customers.close();
  }
}

/** Which of the page's banners a customer sees. */
export function banner(segments: Set<string>, leadScore: number): string {
  if (segments.has("vip")) {
    return "for our best customers";
  }
  if (segments.has("new")) {
    return "welcome";
  }
  return leadScore >= 60 ? "ready to buy" : "for everybody";
}

async function main(address: string | undefined, customers: string[]): Promise<void> {
  const deadlineMs = Number(process.env.DEADLINE_MS ?? DEADLINE_MS);
  const storefront = new Storefront(address ?? "127.0.0.1:9601", process.env.VUELVE_TOKEN, deadlineMs);
  for (const customer of customers) {
    const { shown, told } = await storefront.page(customer);
    console.log(`${customer}: ${shown}`);
    console.error(told);
  }
  storefront.close();
}

void main(process.argv[2], process.argv.slice(3));
