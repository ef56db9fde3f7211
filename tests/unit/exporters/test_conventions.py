"""Names that the bridge and the exporters have to agree on."""

from wasmscope.exporters import _conventions
from wasmscope.host_shim import attributes


def test_attributes() -> None:
    """The exporters know the attributes by the names that the bridge gives them."""
    pairs = {
        _conventions.MODULE_NAME: attributes.WASM_MODULE_NAME,
        _conventions.MODULE_VERSION: attributes.WASM_MODULE_VERSION,
        _conventions.TENANT: attributes.WASM_TENANT,
        _conventions.TRAP_CODE: attributes.WASM_TRAP_CODE,
        _conventions.CALL_CPU_TIME: attributes.WASM_CALL_CPU_TIME,
        _conventions.CALL_HOST_TIME: attributes.WASM_CALL_HOST_TIME,
        _conventions.CALL_FUEL: attributes.WASM_CALL_FUEL,
        _conventions.MEMORY_SIZE: attributes.WASM_MEMORY_SIZE,
        _conventions.TARGET: attributes.TARGET,
        _conventions.LOG_MARKER: attributes.LOG_MARKER,
    }

    assert list(pairs) == list(pairs.values())


def test_metrics() -> None:
    """The accounting table knows the metrics by the names that the bridge gives them."""
    import wasmtime

    from wasmscope.exporters import Recording, providers_from_environment
    from wasmscope.host_shim import Bridge

    recording = Recording()
    with providers_from_environment(recording=recording) as providers:
        bridge = Bridge(
            tracer_provider=providers.tracer_provider,
            meter_provider=providers.meter_provider,
            logger_provider=providers.logger_provider,
        )
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        store = wasmtime.Store(engine)
        store.set_fuel(1_000)
        module = wasmtime.Module(engine, '(module (memory 1) (func (export "run")))')
        bridge.instantiate(bridge.linker(engine), store, module, name="guest").call("run")
        data = recording.metrics()

    assert data is not None
    found = {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    # Nothing was rejected, so that one has no value yet.
    assert found == _conventions.ACCOUNTING_METRICS - {_conventions.METRIC_REJECTED}
