"""What a bridge does for the collectors of its guests before there is a guest."""

import subprocess
import sys

_PROGRAM = """
import wasmtime
from wasmscope.host_shim import Bridge
from wasmscope.host_shim._store_watch import note_of

bridge = Bridge()
print(note_of(wasmtime.Store()).is_watched)
"""


class TestWatch:
    """Stores are watched, to know whether wasmtime's own clock can be used in them."""

    def test_begins_with_the_bridge(self) -> None:
        """The first store made after a bridge is watched, although it is made before the bridge's first guest.

        In a process of its own, because a watch never ends.
        """
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip() == "True"
