"""Queues only add to the simple time, by what can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.datasheets import LOIHI1_SANAFE, TRUENORTH
from hw.events import Activity, Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Placement, tiles
from hw.platforms import Constant
from hw.queueing import Hops, queued_seconds

latency = lambda value: Constant(value, "s", "hop", "14 nm", "derived", "as in SANA-FE 2.2.9")
HOPS = Hops(latency(4.1e-9), latency(6.5e-9))


def joined(pre, post, n):
    edge = Edge("a", "a", np.array(pre), np.array(post), np.ones(len(pre)))
    return Graph((Node("a", n),), (edge,))


def test_two_senders_and_one_receiver_by_hand():
    # neurons 0 and 1 on cores 0 and 4 (tiles 0 and 1, one hop along y), both to neuron 2 on core 0
    graph, placement = joined([0, 1], [2, 2], 3), Placement(np.array([0, 4, 0]))
    spikes = np.array([[True, True, False]])
    seconds = queued_seconds(graph, placement, LOIHI1_SANAFE, HOPS, Activity(spikes, spikes))
    ns = 1e-9
    sent = (6 + 3.7 + 30 + 5.1) * ns  # access, update, spike, message: both cores alike
    first = sent + (16 + 3.8) * ns  # its own message arrives at once
    second = max(first, sent + 6.5 * ns) + (16 + 3.8) * ns  # waits for the receiver
    np.testing.assert_allclose(seconds, second + 1e-6, rtol=1e-12)  # barrier of two tiles


def test_silence_takes_the_visits_and_the_barrier():
    graph, placement = joined([0], [1], 2), Placement(np.array([0, 0]))
    silent = np.zeros((2, 2), bool)
    seconds = queued_seconds(graph, placement, LOIHI1_SANAFE, HOPS, Activity(silent, silent))
    np.testing.assert_allclose(seconds, 2 * 6e-9 + 0.6e-6, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_queues_never_make_a_step_shorter_and_runs_repeat(seed):
    rng = np.random.default_rng(seed)
    n = 12
    pre, post = np.divmod(np.flatnonzero(rng.random(n * n) < 0.3), n)
    graph, placement = joined(pre, post, n), Placement(rng.integers(0, 20, n))
    spikes = rng.random((3, n)) < 0.4
    did = Activity(spikes, spikes)
    queued = queued_seconds(graph, placement, LOIHI1_SANAFE, HOPS, did)
    ledger = tally(Counter(graph, placement, LOIHI1_SANAFE.mesh), did)
    simple = LOIHI1_SANAFE.clock.seconds(ledger, tiles(LOIHI1_SANAFE.mesh, placement))
    assert (queued >= simple - 1e-15).all()
    again = queued_seconds(graph, placement, LOIHI1_SANAFE, HOPS, did)
    np.testing.assert_array_equal(queued, again)


def test_a_chip_with_a_fixed_tick_has_no_queues():
    graph, nobody = joined([0], [0], 1), np.zeros((1, 1), bool)
    with pytest.raises(ValueError, match="TrueNorth .* has no serial clock"):
        queued_seconds(
            graph, Placement(np.zeros(1, int)), TRUENORTH, HOPS, Activity(nobody, nobody)
        )
