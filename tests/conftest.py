import os

# most tests compile a program to run it once: cheap code takes a third off their time; it is an
# environment variable so that command lines run by tests compile the same bits
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 for one test: oracles to rounding need it, the library's default stays float32."""
    with jax.enable_x64(True):
        yield
