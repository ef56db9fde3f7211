// observe-sdk's host for Go, on wazero, doing what the guest of benchmarks/pipeline.wat does as far as it can.
//
// Its argument is guest.wat as a binary module. It reads lines `OPERATION COUNT` and answers each with a line of JSON: how
// many were done, how many came out as OTLP bytes, the bytes, and the CPU time that the whole process took (its adapter
// works in a goroutine of its own, and the garbage collector does, too).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	observe "github.com/dylibso/observe-sdk/go"
	"github.com/dylibso/observe-sdk/go/adapter/opentelemetry"
	"github.com/tetratelabs/wazero"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// It keeps all events until `Finish`.
const burst = 4096

type made struct{ records, bytes int }

// encoder makes the bytes of an export request, and sends them nowhere.
type encoder chan made

func (encoder) Start(context.Context) error { return nil }
func (encoder) Stop(context.Context) error  { return nil }

func (e encoder) UploadTraces(_ context.Context, resources []*tracepb.ResourceSpans) error {
	data, err := proto.Marshal(&collectortrace.ExportTraceServiceRequest{ResourceSpans: resources})
	records := 0
	for _, resource := range resources {
		for _, scope := range resource.ScopeSpans {
			records += len(scope.Spans)
		}
	}
	e <- made{records, len(data)}
	return err
}

func main() {
	ctx := context.Background()
	wasm, err := os.ReadFile(os.Args[1])
	check(err)
	encoded := make(encoder)
	config := &opentelemetry.OTelConfig{ServiceName: "peer"}
	config.Protocol = "none"
	adapter := opentelemetry.NewOTelAdapter(config)
	adapter.UseCustomClient(encoded)
	adapter.Start(ctx)
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	// By default spans of less than 20 us are thrown away.
	options := &observe.Options{ChannelBufferSize: 1024, SpanFilter: &observe.SpanFilter{}}
	traceCtx, err := adapter.NewTraceCtx(ctx, runtime, wasm, options)
	check(err)
	guest, err := runtime.Instantiate(ctx, wasm)
	check(err)

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name string
		var count int
		_, err := fmt.Sscan(lines.Text(), &name, &count)
		check(err)
		function := guest.ExportedFunction(name)
		if function == nil {
			check(fmt.Errorf("there is no operation %q", name))
		}
		var total made
		before := cpu()
		for left := count; left > 0; left -= burst {
			_, err := function.Call(ctx, uint64(min(left, burst)))
			check(err)
			traceCtx.Finish()
			one := <-encoded
			total.records += one.records
			total.bytes += one.bytes
		}
		taken := cpu() - before
		check(json.NewEncoder(os.Stdout).Encode(map[string]any{
			"operation": name, "count": count, "records": total.records, "bytes": total.bytes, "cpu_ns": taken.Nanoseconds(),
		}))
	}
	check(lines.Err())
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
