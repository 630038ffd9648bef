"""Spiking papers: every number that they hold against a published one, at full size."""

import jax
import pytest

from experiments.papers import brunel_2000_sparse_networks as brunel
from experiments.papers import vogels_abbott_2005_irregular_activity as vogels
from snn.delivery import EventScatter
from snn.network import Network, Pathway


def failed(checks):
    return [check for check in checks if not check.passed]


def test_irregular_activity_sustains_itself_as_in_brian2_and_nest():
    checks = vogels.verify()
    assert len(checks) == 4
    assert failed(checks) == []


@pytest.mark.slow
def test_four_regimes_of_a_sparse_network_as_in_theory_and_nest():
    checks = brunel.verify()
    assert len(checks) == 12
    assert failed(checks) == []


@pytest.mark.slow
def test_a_capacity_that_loses_spikes_is_refused_in_the_synchronous_regime():
    """The rate would look right: 332 Hz with 65 % of the spikes lost at a capacity of 2,048."""
    net = brunel.network(brunel.REGIMES[0], 7)
    (pathway,) = net.pathways
    capped = EventScatter(pathway.delivery.rows, 2_048)
    net = Network(net.groups, (Pathway("neurons", "neurons", capped, 15),), net.dt)
    with pytest.raises(Exception, match="spikes were lost"):
        jax.block_until_ready(brunel.ADVANCE(net, brunel.start(net, 7), 200, key=jax.random.key(0)))


@pytest.mark.parametrize(
    "config", [lambda: brunel.Config(longer=0.1), lambda: vogels.Config(duration_s=0.1)]
)
def test_a_run_too_short_to_measure_is_refused(config):
    with pytest.raises(ValueError, match="must lie in"):
        config()
