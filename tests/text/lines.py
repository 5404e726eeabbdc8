"""Lines that are hard to tokenise: mixed scripts, digits, code, emoji, white space, controls. A function of the seed."""
import random
import unicodedata

SCRIPTS = [
    "the quick brown fox jumps over lazy dogs and it's we'll they've I'm you'd he'S WE'RE don't",
    "straße façade naïve coöperate Ångström œuvre Dvořák łódź İstanbul ıI ſs ﬁne Ǆungla",
    "Съешь ещё этих мягких французских булок да выпей чаю",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ὀξεῖα",
    "敏捷的棕色狐狸跳过懒狗 漢字とかなカナ交じり文 ｶﾀｶﾅ 한국어 문장입니다 ᄒᆞᆫ글",
    "نص عربي قصير مع تشكيلٍ وأرقام ٠١٢٣٤٥٦٧٨٩ עברית עם נִקּוּד",
    "हिन्दी में वाक्य १२३ ไทยไม่มีช่องว่าง ภาษา தமிழ் မြန်မာ ខ្មែរ ᠮᠣᠩᠭᠣᠯ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒶𝓁𝓅𝒽𝒶 Ⅷ ⅻ ½ ² ³ ① ㊿ Ⓐⓑ 𐍈𐌰 𝟘𝟙 ௧௨",
]
CODE = [
    "def f(x: int) -> list[int]:\n    return [i ** 2 for i in range(x)]\n",
    "if (a != b && c->d[0] <= 0x1F) { x += y++; } // done\n",
    "<div class=\"a\">&nbsp;</div>\n", "SELECT * FROM t WHERE id=10;\t-- ok\r\n", "#!/bin/sh\necho \"$HOME\" | sed 's/a/b/g'\n",
    "\\frac{\\partial f}{\\partial x} = \\sum_{i=1}^{n} x_i^{2}", "https://example.org/a_b-c?q=1&r=%20#top",
]
EMOJI = ["👍", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☺", "🤷🏾‍♀️", "1️⃣", "🧑‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u2009", "\u3000", "\u200b", "\u202f", "\u2028",
          "\x0b", "\x0c", "\x85", "\u1680", "\u180e", "\ufeff", "\t\t ", "      ", "\r", " \r\n\r\n  "]
CONTROLS = ["\x00", "\x01", "\x07", "\x1b[0m", "\x7f", "\x80", "\u200d", "\u200e", "\u202e", "\ufffd", "\ufffe", "\U0010ffff"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "''", "'", "…", "—", "«", "」", "،", "¿", "€", "№", "™", "'t", "'LL", "ʼn"]
# Characters that NFC changes: combining marks, Hangul letters, singletons.
MARKS = ["e\u0301", "a\u030a\u0323", "\u1112\u1161\u11ab", "\u212b", "\u2126", "\u0958", "q\u0307\u0323", "\u0344", "\u0301", "\u1fbe"]


def digits(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return str(rng.randrange(10 ** rng.randrange(1, 12)))
    if kind == 1:
        return f"{rng.random() * 10 ** rng.randrange(6):,.{rng.randrange(5)}f}"
    if kind == 2:
        return f"{rng.randrange(24):02d}:{rng.randrange(60):02d} {rng.randrange(1, 13)}/{rng.randrange(1, 29)}/{rng.randrange(1900, 2100)}"
    if kind == 3:
        return "".join(rng.choice("0123456789٠١٢३४५０９²½Ⅷ") for _ in range(rng.randrange(1, 8)))
    return f"{rng.randrange(100)}e-{rng.randrange(20)}"


def any_char(rng):
    """Any character of the older blocks but combining ones: the tokenizers package orders those of Unicode 10 and later
    (U+08CB) as its own older tables say."""
    while True:
        c = chr(rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x370, 0x1200), rng.randrange(0x1E00, 0x2C00),
                            rng.randrange(0x3000, 0xA000), rng.randrange(0xAC00, 0xD7A4), rng.randrange(0x1F300, 0x1F650)]))
        if not unicodedata.combining(c):
            return c


def line(rng):
    parts = []
    words = [w for s in SCRIPTS for w in s.split(" ")]
    for _ in range(rng.randrange(1, 14)):
        kind = rng.randrange(13)
        if kind < 4:
            parts.append(rng.choice(words))
        elif kind == 4:
            text = rng.choice(SCRIPTS)
            start = rng.randrange(len(text))
            parts.append(text[start:start + rng.randrange(1, 30)])
        elif kind == 5:
            parts.append(rng.choice(CODE))
        elif kind == 6:
            parts.append(rng.choice(EMOJI) * rng.randrange(1, 3))
        elif kind == 7:
            parts.append(digits(rng))
        elif kind == 8:
            parts.append(rng.choice(CONTROLS))
        elif kind == 9:
            parts.append("".join(rng.choice(PUNCTUATION) for _ in range(rng.randrange(1, 5))))
        elif kind == 10:
            parts.append(rng.choice(MARKS))
        elif kind == 11:
            parts.append("".join(any_char(rng) for _ in range(rng.randrange(1, 6))))
        else:
            parts.append("".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 5))))
        if rng.random() < 0.6:
            parts.append(rng.choice(SPACES) if rng.random() < 0.25 else " ")
    return "".join(parts)


def lines(count, seed):
    rng = random.Random(seed)
    return [line(rng) for _ in range(count)]
