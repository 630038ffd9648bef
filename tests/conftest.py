import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
# most tests compile a program to run it once: cheap code takes a third off their time
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def x64():
    """Float64 for one test: oracles to rounding need it, the library's default stays float32."""
    with jax.enable_x64(True):
        yield
