"""F1, ROUGE-L and its stems against SQuAD's formulas, rouge-score and NLTK, on 1,000 odd pairs of strings."""
import collections
import glob
import json
import random
import re
import string

import pytest

porter = pytest.importorskip("nltk.stem.porter")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

WORDS = ("the The a an A cat cats CAT running ran runs Happily enjoy enjoyment flies dies Dying relational logically theology "
         "1066 3.14 x_y don't U.S.A. eiffel-tower").split()
ODD = ["", " ", "\t\n", "\u00a0", "\u3000", "\x1c", "\x85", "…", "—", "“a”", "_", "''", "é", "e\u0301", "a\u0301", "İstanbul", "ΟΔΟΣ", "οδος",
       "οδός", "Σ", "ΑΣ.", "ΑΣΑ", "AʰΣ", "日本語", "漢 字", "Ⅷ", "½", "²", "Å", "ß", "ẞ", "ﬁ", "𝐚", "🙂", "a🙂an", "the\u200dcat",
       "\u0345", "a…b", "the…", "!?", "K", "x\u00ady"]


def odd_text(draw):
    kind = draw.random()
    if kind < 0.05:
        return draw.choice(ODD)
    if kind < 0.1:
        return "".join(draw.choice(string.punctuation) for _ in range(draw.randint(0, 9)))
    if kind < 0.15:
        return "".join(chr(draw.choice([draw.randint(32, 0x24F), draw.randint(0x250, 0xD7FF), draw.randint(0xE000, 0x1FFFF)]))
                       for _ in range(draw.randint(1, 20)))
    count = draw.randint(200, 600) if kind < 0.17 else draw.randint(1, 12)
    join = draw.choice([" ", " ", " ", "  ", "\n", "-", ", ", ""])
    return join.join(draw.choice(ODD) if draw.random() < 0.25 else draw.choice(WORDS) for _ in range(count))


def pairs(count):
    draw = random.Random(20)
    out = []
    for _ in range(count):
        first = odd_text(draw)
        other = first.swapcase() if draw.random() < 0.2 else odd_text(draw)
        out.append((first, other))
    return out


def squad_f1(prediction, target):
    """The formulas of SQuAD 2.0's evaluation script."""
    def words(text):
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    said, wanted = words(prediction), words(target)
    if not said or not wanted:
        return float(said == wanted)
    common = sum((collections.Counter(said) & collections.Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def test_scores_equal_their_packages_on_odd_strings(probe):
    given = pairs(1000)
    lines = probe.run("text_scores", stdin="".join(json.dumps(pair) + "\n" for pair in given).encode()).stdout.splitlines()
    assert len(lines) == len(given)
    plain, stemmed = (rouge_scorer.RougeScorer(["rougeL"], use_stemmer=stem) for stem in (False, True))
    seen = collections.Counter()
    for (prediction, target), line in zip(given, lines):
        exact, f1, rouge, rouge_stem = json.loads(line)
        assert exact == (prediction.strip(" \t\r\n\f\v") == target.strip(" \t\r\n\f\v"))
        assert f1 == squad_f1(prediction, target), (prediction, target)
        assert rouge == plain.score(target, prediction)["rougeL"].fmeasure, (prediction, target)
        assert rouge_stem == stemmed.score(target, prediction)["rougeL"].fmeasure, (prediction, target)
        seen.update(f1_between=0 < f1 < 1, stems_matter=rouge != rouge_stem, zero=f1 == 0, same=f1 == 1)
    assert min(seen.values()) > 50, seen


def test_stems_equal_nltks(probe, root):
    words = {word for page in [*glob.glob(str(root / "docs" / "*.md")), root / "README.md"]
             for word in re.findall("[a-z]+", open(page, encoding="utf-8").read().lower())}
    draw = random.Random(3)
    parts = ["al", "ance", "ate", "ation", "ative", "bl", "ed", "ee", "eed", "eli", "ement", "er", "ful", "ic", "icate", "ies", "ied",
             "ing", "ion", "ism", "iti", "ive", "ize", "iviti", "ll", "alli", "logi", "li", "ness", "ous", "s", "sses", "y", "yy", "tt", "zz", "e", "bli",
             "rel", "cat", "hop", "t", "w", "geo", "7", "xy", "a", "i", "sky", "news", "inning"]
    words |= {"".join(draw.choice(parts) for _ in range(draw.randint(1, 6))) for _ in range(4000)}
    words = sorted(words)
    stems = probe.run("porter", stdin="\n".join(words).encode()).stdout.decode().splitlines()
    stemmer = porter.PorterStemmer()
    assert len(words) > 5000
    assert dict(zip(words, stems)) == {word: stemmer.stem(word) for word in words}
