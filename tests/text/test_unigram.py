"""Unigram tokenizers: tokenizer.json against the tokenizers package, spiece.model against sentencepiece, T5's files."""
import io
import json
import random
import unicodedata

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from text.asking import ask, assert_same
from text.lines import any_char, lines

SPECIAL = ["<pad>", "</s>", "<unk>", "<mask>"]


def kinds():
    metaspace = pre_tokenizers.Metaspace
    return {
        # what the package's own SentencePieceUnigramTokenizer has
        "nmt": (normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]), metaspace()),
        "split": (normalizers.Strip(left=False, right=True),
                  pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()])),
        "strip": (normalizers.Strip(), metaspace(prepend_scheme="never")),
        "bytes": (None, metaspace(prepend_scheme="first", split=False)),
    }


def train(kind):
    normalizer, pre_tokenizer = kinds()[kind]
    tokenizer = Tokenizer(models.Unigram())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(lines(600, seed=7), trainers.UnigramTrainer(
        vocab_size=2500, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
    if kind == "bytes":
        data = json.loads(tokenizer.to_str())
        data["model"]["vocab"] += [[f"<0x{byte:02X}>", -15.0] for byte in range(256)]
        data["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]) if kind == "bytes" else decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<sep>", rstrip=True, normalized=False), AddedToken("foo", single_word=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


@pytest.fixture(scope="module", params=list(kinds()))
def trained(request, tmp_path_factory):
    tokenizer = train(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer, folder


def fuzz(count, seed):
    """Any characters that utf8proc and Python's Unicode know, between blanks, letters and combining marks."""
    rng = random.Random(seed)

    def one():
        kind = rng.randrange(10)
        if kind < 5:
            return any_char(rng)
        if kind == 5:
            c = chr(rng.choice([rng.randrange(0xE000, 0x110000), rng.randrange(0x10000, 0x20000)]))
            return "" if unicodedata.category(c) == "Cn" else c
        return rng.choice(["a", "b", " ", "  ", "\t", "\n", "\r\n", "\u0301", "\u3099", "\ufe0f", "\u200d", "\u3000"])

    return ["".join(one() for _ in range(rng.randrange(1, 25))) for _ in range(count)]


def with_tokens(count, seed, tokens):
    rng = random.Random(seed)
    return ["".join(part + rng.choice(["", " ", "  \n"]) + rng.choice(tokens) + rng.choice(["", " ", "\t"])
                    for part in lines(rng.randrange(1, 3), seed + i)) for i in range(count)]


EDGES = ["", " ", "  ", "\n", "\t \u3000", " a", "a ", "  a  b  ", "a" * 5000, "word " * 3000, "漢" * 5000, "\u2581a\u2581 \u2581"]


def compare(probe, tokenizer, folder, texts):
    ids = ask(probe, "tokenize", folder, texts, "--markup", "--around")
    assert_same(lambda text: tokenizer.encode(text).ids, texts, ids)
    assert_same(tokenizer.decode, ids, ask(probe, "detokenize", folder, ids))


def test_trained_unigram(probe, trained):
    tokenizer, folder = trained
    compare(probe, tokenizer, folder, lines(2000, seed=1) + fuzz(1000, seed=2) + EDGES)
    compare(probe, tokenizer, folder, with_tokens(1000, 3, SPECIAL + ["<sep>", "foo", "<ma", "foobar", "\u00a0<mask>\n"]))
    about = probe.json("tokenizer", folder)
    assert (about["size"], about["prefix"], about["suffix"], about["eos"]) == (tokenizer.get_vocab_size(), [], [1], 1)


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_unknown_characters(probe, tmp_path, byte_fallback):
    """Where the penalty of an unknown character decides, and pieces of characters that are none themselves."""
    vocabulary = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -0.5), ("xa", -30.0), ("yz", -30.0), ("<0x78>", -2.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, byte_fallback))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    compare(probe, tokenizer, tmp_path, ["xab", "xxab", "xb", "xay", "yz", "yyzz", "y", "xyzxa", "<0x78>x<unk", "éxé", "xxx"])


def test_no_text_is_cut_into_special_tokens(probe, trained):
    """The package's Unigram finds "</s>" in its own vocabulary, after NFKC even in "＜/s＞"; a row's text must not end a sequence."""
    _, folder = trained
    for ids in ask(probe, "tokenize", folder, ["a </s> b", "<unk>", "<pad> <mask>"]):
        assert not set(ids) & {0, 1, 3}
    for ids in ask(probe, "tokenize", folder, ["a ＜/s＞", "＜pad＞"], "--markup"):
        assert not set(ids) & {0, 1, 3}


@pytest.fixture(scope="module")
def small_t5(tmp_path_factory):
    """A folder of T5's files with a small vocabulary: spiece.model as T5's was trained, and what transformers makes of it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("small_t5")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines(600, seed=11)), model_writer=model, vocab_size=1500, character_coverage=0.99, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        hard_vocab_limit=False, minloglevel=2)
    (folder / "spiece.model").write_bytes(model.getvalue())
    transformers.T5TokenizerFast(vocab_file=str(folder / "spiece.model")).save_pretrained(folder)
    assert (folder / "tokenizer.json").exists()
    return folder


def json_alone(source, folder, change=lambda data: None):
    """tokenizer.json of `source`, changed, without a spiece.model beside it."""
    data = json.loads((source / "tokenizer.json").read_text())
    change(data)
    (folder / "tokenizer.json").write_text(json.dumps(data))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def as_older_transformers(data):
    """The files that were converted before 2023 keep a blank at the end."""
    charsmap = next(step for step in data["normalizer"]["normalizers"] if step["type"] == "Precompiled")
    data["normalizer"]["normalizers"] = [charsmap, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]


SENTINELS = ["<extra_id_0>", "<extra_id_99>", "<extra_id_", "</s>", "<pad>"]


@pytest.mark.parametrize("change", [lambda data: None, as_older_transformers], ids=["newer", "older"])
def test_charsmap(probe, small_t5, tmp_path, change):
    tokenizer = json_alone(small_t5, tmp_path, change)
    marks = ["ﬁ\u0301", "ﬁx\u0301", "\u00bd\u0301", "\u1112\u1161\u11ab", "e\u0301\u0323", "\uff76\uff9e", "\r\n", "a\r\nb", "㍿\ufe0f"]
    compare(probe, tokenizer, tmp_path, lines(2000, seed=4) + fuzz(2000, seed=5) + EDGES + marks)
    compare(probe, tokenizer, tmp_path, with_tokens(500, 6, SENTINELS))


def test_small_t5_folder(probe, small_t5, tmp_path):
    """Both files: the SentencePiece file decides, as without tokenizer.json, and as transformers' slow class has it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(small_t5 / "spiece.model"))
    texts = lines(1000, seed=8) + fuzz(500, seed=9) + EDGES + ["ﬁ\u0301"]
    assert_same(processor.encode, texts, ask(probe, "tokenize", small_t5, texts))
    for name in ("spiece.model", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((small_t5 / name).read_bytes())
    count = processor.get_piece_size()
    for folder in (small_t5, tmp_path):
        about = probe.json("tokenizer", folder)
        assert (about["size"], about["suffix"], about["eos"]) == (count + 100, [1], 1)
        assert ask(probe, "tokenize", folder, ["<extra_id_0><extra_id_99>"], "--markup") == [[count + 99, count]]


def test_added_tokens_beside_spiece_model(probe, small_t5, tmp_path):
    (tmp_path / "spiece.model").write_bytes((small_t5 / "spiece.model").read_bytes())
    size = probe.json("tokenizer", small_t5)["size"]
    token = {"id": size, "content": "<sep>", "special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    json_alone(small_t5, tmp_path, lambda data: data["added_tokens"].append(token))
    assert ask(probe, "tokenize", tmp_path, ["<sep>"]) == [[size]]


def test_sentinels_that_are_not_there(probe, small_t5, tmp_path):
    def without_sentinels(data):
        data["added_tokens"] = data["added_tokens"][:3]
        data["model"]["vocab"] = data["model"]["vocab"][:-100]

    json_alone(small_t5, tmp_path, without_sentinels)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5TokenizerFast", "extra_ids": 100}))
    done = probe.run("tokenizer", tmp_path, check=False)
    assert done.returncode != 0 and b"extra_ids is 100" in done.stderr and b"has no <extra_id_0>" in done.stderr


def clean_up(text):
    """transformers' clean_up_tokenization, which the vectors went through."""
    for space, word in [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
                        (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")]:
        text = text.replace(space, word)
    return text


@pytest.fixture
def t5(shared):
    return shared / "tokenizers" / "t5"


@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.json"])
def test_t5_vectors(probe, t5, tmp_path, name):
    folder = tmp_path
    (folder / name).write_bytes((t5 / name).read_bytes())
    vectors = json.loads((t5 / "t5-base-tests.json").read_text())
    ids = ask(probe, "tokenize", folder, [text for text, _, _ in vectors], "--around")
    for (text, expected, _), got in zip(vectors, ids, strict=True):
        assert got == expected, f"{text!r}"
    known = [(expected, decoded) for _, expected, decoded in vectors if 2 not in expected]
    decoded = ask(probe, "detokenize", folder, [expected for expected, _ in known])
    assert [clean_up(text) + "</s>" for text in decoded] == [text for _, text in known]
    about = probe.json("tokenizer", folder)
    assert (about["size"], about["suffix"], about["eos"]) == (32100, [1], 1)
    (sentinels,) = ask(probe, "tokenize", folder, ["<extra_id_0>a<extra_id_99>"], "--markup")
    assert (sentinels[0], sentinels[-1]) == (32099, 32000)


def test_t5_json(probe, t5, tmp_path):
    tokenizer = json_alone(t5, tmp_path)
    compare(probe, tokenizer, tmp_path, lines(3000, seed=13) + fuzz(3000, seed=14) + EDGES)
    compare(probe, tokenizer, tmp_path, with_tokens(1000, 15, SENTINELS))
    plain = ask(probe, "tokenize", tmp_path, ["<extra_id_0>"]), ask(probe, "tokenize", t5 / "spiece.model", ["<extra_id_0>"])
    assert plain[0] == plain[1] and len(plain[0][0]) > 1


def test_t5_folder_of_transformers(probe, t5, tmp_path):
    """What save_pretrained writes: the fast class with tokenizer.json, the slow one with spiece.model and sentinels that strip."""
    transformers = pytest.importorskip("transformers")
    texts = with_tokens(500, 16, SENTINELS[:2])
    fast = transformers.T5TokenizerFast(tokenizer_file=str(t5 / "tokenizer.json"))
    fast.save_pretrained(tmp_path / "fast")
    assert_same(lambda text: fast(text).input_ids, texts, ask(probe, "tokenize", tmp_path / "fast", texts, "--markup", "--around"))
    slow = transformers.T5Tokenizer(vocab_file=str(t5 / "spiece.model"), legacy=True)
    slow.save_pretrained(tmp_path / "slow")
    assert_same(lambda text: slow(text).input_ids, texts, ask(probe, "tokenize", tmp_path / "slow", texts, "--markup", "--around"))
    for kind in ("fast", "slow"):
        about = probe.json("tokenizer", tmp_path / kind)
        assert (about["size"], about["suffix"], about["eos"], about["bos"]) == (32100, [1], 1, None)
