/**
 * OpenTelemetry: one trace from the POST to the last superstep, whichever processes work on it. The request's
 * place in the trace is kept with the run (`kwargs.trace`, hidden from clients), not in the queue's message:
 * a run is found in many ways, and by several attempts. Hence no bullmq-otel, which knows one of them.
 *
 * Spans go to the global provider: ours when OTEL_EXPORTER_OTLP_ENDPOINT is set, else the embedding
 * program's, else nowhere, and then a span costs nothing worth counting.
 */
import { context, isSpanContextValid, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { AppError } from '../errors.ts';

/** Spans that wait for the exporter; more are dropped. */
const SPANS_WAITING_MAX = 8_192;
const EXPORT_DELAY_MS = 1_000;
/** W3C: version 00, trace, span, flags. */
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export class TracingUnavailableError extends AppError {
  readonly code = 'tracing_unavailable';
}

const tracer = trace.getTracer('millrace');

/** @returns the root when `traceparent` is absent or none */
export function contextOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return context.active();
  const traceFlags = Number.parseInt(flags ?? '0', 16);
  return trace.setSpanContext(context.active(), { traceId, spanId, traceFlags, isRemote: true });
}

/** Of the span that is going on here; undefined when nothing is traced. */
export function activeTraceparent(): string | undefined {
  const active = trace.getSpanContext(context.active());
  if (active === undefined || !isSpanContextValid(active)) return undefined;
  const flags = active.traceFlags.toString(16).padStart(2, '0');
  return `00-${active.traceId}-${active.spanId}-${flags}`;
}

/** Begins a span and makes it the one that is going on for `work`, and for whatever it starts. */
export function traced<T>(
  name: string,
  options: { parent: Context; server?: boolean; attributes?: Attributes },
  work: (span: Span) => T,
): T {
  const span = tracer.startSpan(
    name,
    {
      kind: options.server === true ? SpanKind.SERVER : SpanKind.INTERNAL,
      attributes: options.attributes ?? {},
    },
    options.parent,
  );
  return context.with(trace.setSpan(options.parent, span), () => work(span));
}

/** A span that is over. Times as of Date.now. */
export function recordSpan(
  name: string,
  parent: Context,
  times: { startMs: number; endMs: number },
  attributes: Attributes = {},
): void {
  tracer
    .startSpan(name, { startTime: times.startMs, attributes }, parent)
    .end(Math.max(times.startMs, times.endMs));
}

export const currentContext = (): Context => context.active();

export function failSpan(span: Span, message: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

/**
 * Sends spans to a collector, by OTLP over HTTP. What else the SDK reads from the environment counts, too:
 * OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES.
 * @returns sends what waits, and ends
 * @throws {TracingUnavailableError} the SDK's packages are not installed
 */
export async function startTracing(options: {
  endpoint: string;
  service: string;
  instance: string;
}): Promise<() => Promise<void>> {
  const sdk = await load();
  const provider = new sdk.TracerProvider({
    resource: sdk.resourceFromAttributes({
      'service.name': options.service,
      'service.instance.id': options.instance,
    }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: new sdk.OTLPTraceExporter({
          url: `${options.endpoint.replace(/\/$/, '')}/v1/traces`,
        }),
        maxQueueSize: SPANS_WAITING_MAX,
        scheduledDelayMillis: EXPORT_DELAY_MS,
      }),
    ],
  });
  context.setGlobalContextManager(new sdk.AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  return async () => {
    await provider.shutdown();
    trace.disable();
    context.disable();
  };
}

async function load() {
  try {
    const [base, exporter, resources, hooks] = await Promise.all([
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/context-async-hooks'),
    ]);
    return {
      TracerProvider: base.TracerProvider,
      BatchSpanProcessor: base.BatchSpanProcessor,
      OTLPTraceExporter: exporter.OTLPTraceExporter,
      resourceFromAttributes: resources.resourceFromAttributes,
      AsyncLocalStorageContextManager: hooks.AsyncLocalStorageContextManager,
    };
  } catch (cause) {
    throw new TracingUnavailableError(
      'OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages @opentelemetry/sdk-trace, exporter-trace-otlp-http, resources and context-async-hooks are not installed (npm install without --omit=optional)',
      { cause },
    );
  }
}
