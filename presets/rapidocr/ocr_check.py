"""Smoke check: draw an invoice in English and Chinese, read it with RapidOCR, compare with what was drawn.

Progress goes to stderr; the last line on stdout is JSON. Exit status 0 when both character error rates are low enough.
With --blank the page stays empty, and the check must fail.
"""

import json
import sys
import time

START = time.perf_counter()
FONT = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"
MAX_CER = 0.02
ENGLISH = (
    "INVOICE No. 2025-0417",
    "Northwind Paper Company, 48 Harbour Street",
    "12 boxes of copy paper, A4, 80 g",
    "Total due within 30 days: 338.40 EUR",
)
CHINESE = (
    "发票号码：20250417",
    "购买方：北京清河科技有限公司",
    "复印纸十二箱，单价二十三元五角",
    "合计金额：贰佰捌拾贰元整",
)
# The same sign in full and half width looks alike in print, and gaps are the layout's: neither is an error.
SAME = str.maketrans({"：": ":", "，": ",", "（": "(", "）": ")", " ": "", "\u3000": ""})


def say(text):
    print(f"{time.perf_counter() - START:6.2f} s  {text}", file=sys.stderr, flush=True)


def draw(lines):
    """A white page with one line of text below another, as an RGB array."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (1000, 640), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.truetype(FONT, 34)
    for number, line in enumerate(lines):
        pen.text((60, 40 + 70 * number), line, font=font, fill="black")
    return np.asarray(page)


def distance(left, right):
    """The fewest insertions, deletions and replacements that make `left` into `right`."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def error_rate(found, wanted):
    """Edits per character of the wanted text."""
    text = "".join(wanted).translate(SAME)
    return distance("".join(found).translate(SAME), text) / len(text)


def is_chinese(line):
    return any("\u4e00" <= sign <= "\u9fff" for sign in line)


def main():
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,  # every line is upright
            "Det.limit_type": "max",
            "Det.limit_side_len": 736,  # large print is found as well on a smaller page, at half the cost
            # One page does not fill more: further threads would only spin beside services that start meanwhile.
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    ready = time.perf_counter()
    say("models loaded")
    page = draw(() if "--blank" in sys.argv else ENGLISH + CHINESE)
    lines = list(engine(page).txts or ())
    done = time.perf_counter()
    found = {
        "en": [line for line in lines if not is_chinese(line)],
        "zh": [line for line in lines if is_chinese(line)],
    }
    rates = {"en": error_rate(found["en"], ENGLISH), "zh": error_rate(found["zh"], CHINESE)}
    for language, rate in rates.items():
        say(f"{language}: {len(found[language])} lines, character error rate {rate:.4f}")
    passed = all(rate <= MAX_CER for rate in rates.values())
    report = {
        "passed": passed,
        "summary": f"character error rate: English {rates['en']:.4f}, Chinese {rates['zh']:.4f}",
        "cer_en": round(rates["en"], 4),
        "cer_zh": round(rates["zh"], 4),
        "max_cer": MAX_CER,
        "seconds_init": round(ready - START, 3),
        "seconds_ocr": round(done - ready, 3),
        "text": "\n".join(lines),
    }
    print(json.dumps(report, ensure_ascii=False), flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
