"""Folders of transformers' slow classes: SentencePiece without "legacy", and the files of added tokens before 2023."""
import json

import pytest

from text.asking import ask, assert_same
from text.lines import lines

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")
ADDED = ["<|im_start|>", "<|im_end|>", "<tool>"]  # the last is no special token


def write_model(path, kind):
    """Llama's kind of model keeps every space, T5's strips and squeezes them."""
    llama = kind == "llama"
    settings = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                    allow_whitespace_only_pieces=True) if llama else dict(
                        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines(800, seed=3)), model_prefix=str(path), vocab_size=2500,
                                             character_coverage=0.9995, minloglevel=2, **settings)


def texts_with(tokens):
    some = lines(400, seed=5)
    return ["", " ", "▁", "  a", "a▁b", *some,
            *(start + text + tokens[i % 3] + [" ", "", "  "][i % 3] + "more" + tokens[1]
              for i, text in enumerate(some) for start in ("", tokens[i % 2], tokens[2]))]


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("legacy", [True, False])
def test_sentencepiece_with_and_without_legacy(probe, tmp_path, kind, legacy):
    pytest.importorskip("google.protobuf")
    write_model(tmp_path / "raw", kind)
    made = {"llama": transformers.LlamaTokenizer, "t5": transformers.T5Tokenizer}[kind]
    slow = made(vocab_file=str(tmp_path / "raw.model"), legacy=legacy)
    slow.add_special_tokens({"additional_special_tokens": ADDED[:2]}, replace_additional_special_tokens=False)
    slow.add_tokens([transformers.AddedToken(ADDED[2], normalized=False)])
    slow.save_pretrained(tmp_path / "m")
    texts = texts_with(ADDED)
    ids = ask(probe, "tokenize", tmp_path / "m", texts, "--markup", "--around")
    assert_same(lambda text: slow(text).input_ids, texts, ids)
    plain = lines(300, seed=6) if kind == "llama" else ["some words", "x"]  # T5 changes others
    own = ask(probe, "tokenize", tmp_path / "m", plain)
    assert ask(probe, "detokenize", tmp_path / "m", own) == plain


@pytest.mark.parametrize("config", [True, False])
def test_added_tokens_and_special_tokens_map_of_old_folders(probe, tmp_path, config):
    write_model(tmp_path / "tokenizer", "llama")
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>"}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(
        {"eos_token": {"content": "<|im_end|>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False},
         "additional_special_tokens": ["<|im_start|>"]}))
    (tmp_path / "added_tokens.json").write_text(json.dumps({token: 2500 + i for i, token in enumerate(ADDED)}))
    slow = transformers.LlamaTokenizer.from_pretrained(tmp_path)
    about = probe.json("tokenizer", tmp_path)
    assert (about["size"], about["eos"], about["prefix"]) == (2503, 2501, [1]) and slow.eos_token_id == 2501
    texts = texts_with(ADDED)
    assert_same(lambda text: slow(text).input_ids, texts, ask(probe, "tokenize", tmp_path, texts, "--markup", "--around"))
