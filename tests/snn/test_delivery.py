"""All strategies deliver the same sums, and rules draw what their names say."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn import connectivity as c
from snn.delivery import (
    Costs,
    Dense,
    EventLoop,
    EventScatter,
    Expected,
    FanIn,
    choose,
    dense,
    estimates,
    fan_in,
)
from snn.events import indices, nth, pack, raster, running_count, unpack

KEY = jax.random.key(0)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 400])
def test_packed_spikes_are_found_in_order_and_unpack_to_themselves(n):
    @jax.jit
    def there_and_back(spikes):
        words = pack(spikes)
        counts = running_count(words)
        found = jax.vmap(lambda k: nth(words, counts, k))(jnp.arange(3))
        return words, unpack(words, n), counts[-1], found, indices(words, n + 2, -1)

    for p in (0.0, 0.05, 1.0):
        spikes = np.random.default_rng(0).random(n) < p
        words, again, count, found, padded = there_and_back(spikes)
        np.testing.assert_array_equal(again, spikes)
        np.testing.assert_array_equal(raster(np.asarray(words)[None], n)[0], spikes)
        where = np.nonzero(spikes)[0]
        assert int(count) == len(where)
        np.testing.assert_array_equal(found[: len(where)], where[:3])
        np.testing.assert_array_equal(padded, np.append(where, np.full(n + 2 - len(where), -1)))


RULES = {
    "all to all": (lambda k: c.all_to_all(30, 20), 600),
    "one to one": (lambda k: c.one_to_one(25), 25),
    "in-degree": (lambda k: c.fixed_in_degree(30, 20, 7, key=k), 140),
    "out-degree": (lambda k: c.fixed_out_degree(30, 20, 7, key=k), 210),
    "total": (lambda k: c.total_number(30, 20, 99, key=k), 99),
}


@pytest.mark.parametrize("rule, number", RULES.values(), ids=RULES)
def test_a_rule_draws_as_many_as_it_says_the_same_from_the_same_key(rule, number):
    edges, again, other = rule(KEY), rule(KEY), rule(jax.random.key(1))
    assert len(edges.pre) == len(edges.post) == number
    assert edges.pre.max() < edges.sources
    assert edges.post.max() < edges.targets
    np.testing.assert_array_equal(edges.pre, again.pre)
    np.testing.assert_array_equal(edges.post, again.post)
    if number not in (600, 25):
        assert (edges.pre != other.pre).any() or (edges.post != other.post).any()


def test_degrees_are_fixed_on_the_side_that_is_named():
    into, out = RULES["in-degree"][0](KEY), RULES["out-degree"][0](KEY)
    assert set(np.bincount(into.post, minlength=20)) == {7}
    assert set(np.bincount(out.pre, minlength=30)) == {7}


@pytest.mark.parametrize("p", [0.0, 0.02, 0.7, 1.0])
def test_bernoulli_joins_each_pair_at_most_once_with_its_probability(p):
    edges = c.bernoulli(300, 200, p, key=KEY)
    pairs = edges.pre.astype(int) * 200 + edges.post
    assert len(set(pairs)) == len(pairs)
    assert len(pairs) == pytest.approx(60_000 * p, abs=5 * (60_000 * p * (1 - p)) ** 0.5)
    both_halves = [(pairs < 30_000).sum(), (pairs >= 30_000).sum()]
    assert abs(np.diff(both_halves)[0]) <= 5 * (60_000 * p * (1 - p)) ** 0.5


def test_distance_rule_follows_its_profile():
    places = np.linspace(0, 1, 400)[:, None]
    edges = c.by_distance(places, places, lambda d: np.where(d < 0.1, 0.5, 0.0), key=KEY)
    assert np.abs(places[edges.pre] - places[edges.post]).max() < 0.1
    within = (np.abs(places - places.T) < 0.1).sum()
    assert len(edges.pre) == pytest.approx(within / 2, rel=0.03)  # 5 standard errors


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (3, 2)])
def test_a_convolution_of_edges_is_that_of_arrays(stride, padding):
    random = np.random.default_rng(3)
    kernel, spikes = random.normal(size=(4, 2, 3, 2)), random.random((2, 7, 6)) < 0.4
    edges, weights = c.convolution(kernel, (7, 6), stride=stride, padding=padding)
    padded = np.pad(spikes, ((0, 0), (padding, padding), (padding, padding)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), (1, 2))
    expected = np.einsum("iyxrc,oirc->oyx", patches[:, ::stride, ::stride], kernel)
    assert (edges.sources, edges.targets) == (84, expected.size)
    found = np.bincount(edges.post, weights * spikes.ravel()[edges.pre], edges.targets)
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-12)
    stored = c.rows(edges, weights)
    assert int((stored.targets < edges.targets).sum()) == len(weights)


def test_no_neuron_reaches_itself_once_autapses_are_removed():
    edges = c.without_autapses(c.all_to_all(9, 9))
    assert len(edges.pre) == 72
    assert (edges.pre != edges.post).all()


def stores():
    random = np.random.default_rng(1)
    edges = c.fixed_in_degree(150, 90, 12, key=KEY)  # unequal rows, pairs that come twice
    yield "weight an edge", c.rows(edges, random.normal(size=len(edges.pre)))
    yield "weight a source", c.rows(edges, random.normal(size=150))
    yield "one weight", c.rows(edges, 0.3)
    yield "integers", c.rows(edges, random.integers(-9, 9, len(edges.pre)))
    yield "procedural", c.ProceduralRows(jnp.asarray(random.normal(size=(150, 1)), float), 8, 90, 5)
    yield "nothing", c.rows(c.Edges(*np.zeros((2, 0), np.int32), 150, 90), 1.0)


STORES = dict(stores())
PACK = jax.jit(pack)
DELIVER = eqx.filter_jit(lambda strategy, words, into: strategy(words, into))


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_all_strategies_agree(store):
    targets = np.asarray(store.targets)
    weights = np.broadcast_to(np.asarray(store.weights), targets.shape)
    strategies = EventLoop(store), EventScatter(store, 150), dense(store), fan_in(store)
    for active in (0.0, 0.03, 1.0):
        spikes = np.random.default_rng(2).random(150) < active
        words, into = PACK(spikes), np.arange(90).astype(store.weights.dtype)
        expected = np.arange(90, dtype=np.float64)
        for i in np.nonzero(spikes)[0]:
            real = targets[i] < 90
            np.add.at(expected, targets[i][real], weights[i][real])
        for strategy in strategies:
            sums, lost = DELIVER(strategy, words, into)
            # float32 sums of up to 30 terms near 100 in another order
            np.testing.assert_allclose(sums, expected, rtol=1e-6, atol=1e-5)
            assert int(lost) == 0
            assert sums.dtype == store.weights.dtype


def test_spikes_beyond_the_capacity_are_counted():
    store = STORES["one weight"]
    words = PACK(np.arange(150) < 40)
    sums, lost = DELIVER(EventScatter(store, 30), words, jnp.zeros(90))
    kept, _ = DELIVER(EventScatter(store, 150), PACK(np.arange(150) < 30), jnp.zeros(90))
    assert int(lost) == 10
    np.testing.assert_allclose(sums, kept, atol=1e-5)


def test_procedural_rows_are_the_same_bits_everywhere_and_evenly_spread():
    store = c.ProceduralRows(jnp.ones((2000, 1)), 50, 64, 7)
    targets = np.asarray(jax.jit(lambda s: s.targets)(store))

    def mix(x):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = ((x ^ (x >> shift)) * factor) % 2**32
        return x ^ (x >> 16)

    start = mix((123 + mix(7)) % 2**32)
    by_hand = [mix((mix(slot ^ start) + start) % 2**32) % 64 for slot in range(50)]
    np.testing.assert_array_equal(targets[123], by_hand)
    counts = np.bincount(targets.ravel(), minlength=64)
    chi2 = ((counts - counts.mean()) ** 2).sum() / counts.mean()
    assert 30 < chi2 < 110  # 63 degrees of freedom, within 4 deviations
    neighbours = np.bincount((targets[1:] - targets[:-1]).ravel() % 64, minlength=64)
    assert ((neighbours - neighbours.mean()) ** 2).sum() / neighbours.mean() < 110


def test_the_choice_follows_the_break_even():
    sparse = c.rows(c.fixed_out_degree(4000, 4000, 80, key=KEY), 1.0)
    full = c.rows(c.all_to_all(200, 100), 1.0)
    assert isinstance(choose(sparse, Expected(0.005)), EventLoop)
    assert isinstance(choose(full, Expected(0.5)), Dense)
    assert isinstance(choose(full, Expected(0.05, batch=128)), Dense)
    busy = estimates(sparse, Expected(0.9), Costs())
    assert isinstance(choose(sparse, Expected(0.9)), FanIn)
    assert min(busy, key=busy.get) == "fan_in"


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: c.bernoulli(2, 2, 1.5, key=KEY), "probability"),
        (lambda: c.convolution(np.ones((1, 1, 3, 3)), (9, 9), stride=0), "stride must be"),
        (lambda: c.convolution(np.ones((1, 1, 3, 3)), (2, 9)), r"no kernel of \[3, 3\] fits"),
        (lambda: c.rows(c.one_to_one(4), np.ones(3)), "one a source"),
        (lambda: c.rows(c.one_to_one(4), 1.0, np.zeros(4, int)), "at least 1 step"),
        (lambda: EventScatter(STORES["one weight"], 0), "capacity"),
        (lambda: Expected(1.5), "active"),
        (lambda: Expected(0.5, 0), "batch"),
    ],
)
def test_bad_connectivity_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
