"""What all tests share."""

pytest_plugins = ["tests.support.skips", "tests.support.jaeger"]
