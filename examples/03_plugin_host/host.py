"""A shop whose sellers bring plugins that say what sending an order costs.

Each seller is a tenant with a guest of its own. A guest may ask the shop for an exchange rate: that is a host function,
with a span of its own and a request to another service, which continues the same trace.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

import wasmtime
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Tracer
from rates import serving

from wasmscope.exporters import Recording, print_recording, providers_from_environment
from wasmscope.host_shim import Bridge, GuestInstance

HERE = Path(__file__).parent
SELLERS = ("acme", "globex")


class Shop:
    """Loads sellers' plugins and asks them for quotes."""

    def __init__(self, tracer: Tracer, rates: str) -> None:
        self.tracer = tracer
        self.rates = rates
        self.bridge = Bridge()
        self.engine = wasmtime.Engine()
        # A linker of the bridge's: time in its host functions is not counted as the guests'.
        self.linker = self.bridge.linker(self.engine)
        kind = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.f64()])
        self.linker.define_func("shop", "exchange_rate", kind, self.exchange_rate)

    def exchange_rate(self, currency: int) -> float:
        """The host function. The guest's span is the current one here, so this one becomes its child."""
        attributes = {"currency": currency}
        with self.tracer.start_as_current_span("GET /rates/{currency}", kind=SpanKind.CLIENT, attributes=attributes):
            headers: dict[str, str] = {}
            propagate.inject(headers)
            with urlopen(Request(f"{self.rates}/rates/{currency}", headers=headers), timeout=5) as answer:
                return float(json.loads(answer.read()))

    def load(self, seller: str) -> GuestInstance:
        """Instantiate a seller's plugin, in a store of its own."""
        module = wasmtime.Module(self.engine, (HERE / seller / f"{seller}.wasm").read_bytes())
        return self.bridge.instantiate(
            self.linker, wasmtime.Store(self.engine), module, name=f"{seller}-quotes", version="2.1", tenant=seller
        )


def main() -> None:
    recording = Recording()
    with (
        providers_from_environment(recording=recording, service_name="shop") as providers,
        providers_from_environment(span_processors=[recording.span_processor], service_name="rates") as others,
    ):
        providers.make_global()
        tracer = providers.tracer_provider.get_tracer("shop")
        with serving(others.tracer_provider.get_tracer("rates")) as rates:
            shop = Shop(tracer, rates)
            plugins = {seller: shop.load(seller) for seller in SELLERS}
            for order, grams in ((1, 800), (2, 2500)):
                with tracer.start_as_current_span("compare quotes", attributes={"order": order}):
                    quotes = {seller: plugin.call("quote", order, grams) for seller, plugin in plugins.items()}
                best = min(quotes, key=quotes.__getitem__)
                print(f"shop: order {order} goes with {best}, for {quotes[best] / 100:.2f} euros", flush=True)
        print()
        print_recording(recording)


if __name__ == "__main__":
    main()
