"""Many agents, seeds or samples: the same bits however many there are, and wherever they run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, PRNGKeyArray


def map_members(
    function: Callable[..., Any],
    members: Int[Array, " members"],
    *inputs: Any,
    key: PRNGKeyArray,
    width: int,
    mesh: Mesh | None = None,
) -> Any:
    """`function(key, *inputs)` of each member, with a key of its own.

    A reduction's order, and so its rounding, depends on the size of a batch. So members are never
    run as one batch of their number, but in tiles of a fixed width, one tile after another; the
    last tile is filled up with copies of its last member, whose results are dropped. A member's
    key is folded from its number in the whole population. With equal `key` and `width`, a member's
    result has the same bits in any subset of the population, in any order, on any devices of a
    kind.

    Args:
        function: of one member: its key, then its inputs.
        members: number of each member in the whole population.
        inputs: pytrees of arrays whose leading axis is the members'.
        key: of the whole population.
        width: members in a tile.
        mesh: devices among which tiles are divided evenly, over all axes; None: where JAX is.

    Returns:
        The results, with a leading axis of members.

    Raises:
        ValueError: if there is no member, the width is not positive, or an input has another
            number of rows.
    """
    number = members.shape[0]
    if number < 1 or width < 1:
        raise ValueError(f"expected members and a positive width, got {number} and {width}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(inputs):
        if leaf.ndim < 1 or leaf.shape[0] != number:
            where = "inputs" + jax.tree_util.keystr(path)
            raise ValueError(f"{where}: expected {number} rows, found shape {leaf.shape}")
    tiles = -(-number // width)
    if mesh is not None:
        tiles = -(-tiles // mesh.size) * mesh.size
    row = jnp.minimum(jnp.arange(tiles * width), number - 1).reshape(tiles, width)
    given = jax.tree.map(lambda leaf: leaf[row], (members, inputs))

    def tile(given):
        members, inputs = jax.lax.optimization_barrier(given)  # alike for one tile and for many
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, members)
        return jax.lax.optimization_barrier(jax.vmap(function)(keys, *inputs))

    run = lambda given: jax.lax.map(tile, given)
    if mesh is not None:
        divided = PartitionSpec(mesh.axis_names)
        run = jax.shard_map(run, mesh=mesh, in_specs=divided, out_specs=divided, check_vma=False)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:number], run(given))
