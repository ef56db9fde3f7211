// The OpenTelemetry SDK for Go, doing what the guest of benchmarks/pipeline.wat does.
//
// It reads lines `OPERATION COUNT` and answers each with a line of JSON: how many were done, how many came out as OTLP
// bytes, the bytes, and the CPU time that the whole process took (the exporters work in goroutines of their own, and the
// garbage collector does, too).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A queue that is full drops: it is emptied before that.
const (
	queue = 8192
	burst = 4096
)

var records, sent atomic.Int64

// encoder makes the bytes of an export request, and sends them nowhere.
type encoder struct{}

func (encoder) Start(context.Context) error { return nil }
func (encoder) Stop(context.Context) error  { return nil }

func (encoder) UploadTraces(_ context.Context, resources []*tracepb.ResourceSpans) error {
	data, err := proto.Marshal(&collectortrace.ExportTraceServiceRequest{ResourceSpans: resources})
	for _, resource := range resources {
		for _, scope := range resource.ScopeSpans {
			records.Add(int64(len(scope.Spans)))
		}
	}
	sent.Add(int64(len(data)))
	return err
}

// counted counts log records that go to the exporter for HTTP, which has no encoder that one could call.
type counted struct{ sdklog.Exporter }

func (c counted) Export(ctx context.Context, batch []sdklog.Record) error {
	records.Add(int64(len(batch)))
	return c.Exporter.Export(ctx, batch)
}

// accept is a server that takes all, without a connection.
type accept struct{}

func (accept) RoundTrip(request *http.Request) (*http.Response, error) {
	size, err := io.Copy(io.Discard, request.Body)
	sent.Add(size)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}, err
}

func main() {
	ctx := context.Background()
	four := []attribute.KeyValue{
		attribute.String("method", "GET"),
		attribute.String("route", "/orders"),
		attribute.Int64("status", 200),
		attribute.Bool("cached", true),
	}

	traceExporter, err := otlptrace.New(ctx, encoder{})
	check(err)
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(
		traceExporter, sdktrace.WithBlocking(), sdktrace.WithMaxQueueSize(queue), sdktrace.WithBatchTimeout(time.Hour)))
	tracer := traces.Tracer("peer")
	inside, parent := tracer.Start(ctx, "host")
	span := func() {
		_, span := tracer.Start(inside, "GET /orders", trace.WithAttributes(four...))
		span.End()
	}

	unsampledTracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("peer")
	unsampled := func() {
		_, span := unsampledTracer.Start(ctx, "GET /orders", trace.WithAttributes(four...))
		span.End()
	}

	logExporter, err := otlploghttp.New(ctx, otlploghttp.WithInsecure(), otlploghttp.WithHTTPClient(&http.Client{Transport: accept{}}))
	check(err)
	logs := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(
		counted{logExporter}, sdklog.WithMaxQueueSize(queue), sdklog.WithExportInterval(time.Hour))))
	logger := logs.Logger("peer")
	body := attribute.StringValue("order 4711 of customer 42 was put into the queue")
	two := []attribute.KeyValue{attribute.String("tenant", "acme"), attribute.Int64("retry", 3)}
	emit := func() {
		var record log.Record
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityInfo)
		record.SetSeverityText("INFO")
		record.SetBody(body)
		record.AddAttributes(two...)
		logger.Emit(inside, record)
	}

	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("peer")
	set := metric.WithAttributeSet(attribute.NewSet(two...))
	counter, err := meter.Int64Counter("requests")
	check(err)
	histogram, err := meter.Float64Histogram("duration", metric.WithExplicitBucketBoundaries(
		0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000))
	check(err)
	addOptions, recordOptions := []metric.AddOption{set}, []metric.RecordOption{set}

	nothing := func(context.Context) error { return nil }
	operations := map[string]struct {
		once  func()
		flush func(context.Context) error
	}{
		"span":      {span, traces.ForceFlush},
		"unsampled": {unsampled, nothing},
		"log":       {emit, logs.ForceFlush},
		"counter":   {func() { counter.Add(inside, 1, addOptions...) }, nothing},
		"histogram": {func() { histogram.Record(inside, 30, recordOptions...) }, nothing},
	}

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name string
		var count int
		_, err := fmt.Sscan(lines.Text(), &name, &count)
		check(err)
		operation, found := operations[name]
		if !found {
			check(fmt.Errorf("there is no operation %q", name))
		}
		records.Store(0)
		sent.Store(0)
		before := cpu()
		for done := 1; done <= count; done++ {
			operation.once()
			if done%burst == 0 || done == count {
				check(operation.flush(ctx))
			}
		}
		taken := cpu() - before
		check(json.NewEncoder(os.Stdout).Encode(map[string]any{
			"operation": name, "count": count, "records": records.Load(), "bytes": sent.Load(), "cpu_ns": taken.Nanoseconds(),
		}))
	}
	check(lines.Err())
	parent.End()
}

// cpu gives the CPU time of the process so far.
func cpu() time.Duration {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
