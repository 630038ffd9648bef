import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 for one test: oracles to rounding need it, the library's default stays float32."""
    with jax.enable_x64(True):
        yield
