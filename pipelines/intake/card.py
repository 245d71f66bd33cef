"""Pages of the report card: one for a sender, with the funnel as a drawing, and one for the steward over all senders."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.intake.feedback import say_line, tell_finding
from pipelines.intake.page import say, write_page, write_table, write_tiles

_WIDE, _HIGH, _LEFT, _LOW = 640, 300, 56, 260


def render_card(card: Mapping[str, Any], chart: str) -> str:
    """The page of one sender; `card` is what night.report_card writes as JSON, `chart` an SVG of draw_funnel."""

    def write_section(language: str) -> str:
        def t(name: str, **filled: object) -> str:
            return say("card", name, language, **filled)

        tiles = [
            (t("files"), str(card["files"]), False), (t("rows"), str(card["rows"]), False),
            (t("share"), tell_share(card["share"]), card["place"] in ("above", "far_above")),
            (t("delay"), "–" if card["delay_days"] is None else f"{card['delay_days']:g}", False),
            (t("open"), str(card["open_count"]), card["open_count"] > 0), (t("held"), str(card["held_count"]), card["held_count"] > 0),
            (t("returned"), str(card["returned_count"]), card["returned_count"] > 0),
        ]  # fmt: skip
        name = f"{card['sender_id']} · {card['sender_name']}" if card["sender_name"] else str(card["sender_id"])
        weeks = write_table(
            [t("week"), t("rows"), t("refused"), t("share")],
            ((w["week_from"], str(w["rows"]), str(w["refused"]), tell_share(w["refused"] / w["rows"] if w["rows"] else None))
             for w in card["weeks"]), numbers=(1, 2, 3),
        )  # fmt: skip
        return "\n".join([
            f"<h1>{t('title')}</h1>\n<p class=\"file\">{escape(name)}</p>",
            f'<p class="soft">{t("period", since=card["since"], on=card["on"])}</p>',
            *([f"<p>{t('unregistered')}</p>"] if "unregistered" in card["signals"] else []),
            f"<h2>{t('glance')}</h2>", write_tiles(tiles), f"<h2>{t('missing')}</h2>", _list_missing(card, language),
            f"<h2>{t('findings')}</h2>", _list_findings(card["findings"], language),
            f"<h2>{t('weeks')}</h2>", f"<p>{t('trend')}: {t(card['trend'])}.</p>", weeks,
            f"<h2>{t('band')}</h2>", f"<p>{t('national')}: {tell_share(card['national_share'])}. {t(card['place'])}</p>",
            f'<figure>{chart.replace("@rows", t("axis_rows"))}<figcaption class="soft">{t("chart")}</figcaption></figure>',
            f'<p class="soft">{t("note")}</p>',
        ])  # fmt: skip

    return write_page(f"{card['sender_id']} · Erte", write_section)


def render_index(
    cards: Sequence[Mapping[str, Any]], held: Sequence[Mapping[str, Any]], unnamed: Mapping[str, int], due: Mapping[str, Any],
    unowned: Mapping[str, int], on: str,
) -> str:  # fmt: skip
    """The steward's page: what needs somebody first, then what is due, and all senders by name at the end.

    `due`: what night.lists keeps as counts.json; empty where no list was written yet. `unowned`: lines by list.
    """
    look_at = [card for card in cards if card["signals"] or card["held_count"]]

    def write_section(language: str) -> str:
        def t(name: str) -> str:
            return say("index", name, language)

        def c(name: str) -> str:
            return say("card", name, language)

        waiting = write_table(
            [say("feedback", "file", language), t("sender"), say("feedback", "day", language), say("feedback", "rows", language),
             say("feedback", "quarantined_count", language)],
            ((f"{escape(h['file_name'])} <code>{escape(h['submission_id'][:12])}</code>", escape(h["sender_id"] or "–"),
              str(h["received_on"]), str(h["received_count"]), str(h["quarantined_count"])) for h in held), numbers=(3, 4),
        )  # fmt: skip
        to_mend = sum(card["open_count"] for card in cards)
        glance = [
            (t("title"), str(len(cards)), False), (t("look_at"), str(len(look_at)), bool(look_at)),
            (c("held"), str(len(held)), bool(held)), (c("open"), str(to_mend), to_mend > 0),
        ]  # fmt: skip
        files = [(say("state", state, language), str(count), state == "refused") for state, count in unnamed.items()]
        return "\n".join([
            f"<h1>{t('overview')}</h1>", f'<p class="soft">{escape(on)}. {t("order")}</p>', write_tiles(glance),
            f"<h2>{t('held')}</h2>", waiting if held else f"<p>{c('none')}</p>",
            *([f"<h2>{t('unowned')}</h2>", f"<p>{t('hand_on')}</p>", write_tiles((name, str(n), True) for name, n in unowned.items())]
              if unowned else []),
            f"<h2>{t('look_at')}</h2>", _list_senders(look_at, language) if look_at else f"<p>{c('none')}</p>",
            f"<h2>{t('unnamed')}</h2>", write_tiles(files) if files else f"<p>{c('none')}</p>",
            *([f"<h2>{t('asked')}</h2>", f'<p class="soft">{escape(due["on"])}. {t("lists")}</p>', _list_due(due, language)] if due else []),
            f"<h2>{t('title')}</h2>", _list_senders(cards, language),
        ])  # fmt: skip

    return write_page("Erte", write_section, is_broad=True)


def _list_senders(cards: Sequence[Mapping[str, Any]], language: str) -> str:
    def t(name: str) -> str:
        return say("index", name, language)

    def c(name: str) -> str:
        return say("card", name, language)

    heads = [t("sender"), t("last"), c("files"), c("rows"), *map(t, ("share", "trend", "delay", "open", "waiting", "signal"))]
    return write_table(heads, (
        (
            f'<a href="{escape(card["page"])}">{escape(card["sender_id"])}</a> <span class="soft">{escape(card["sender_name"] or "")}</span>',
            f'<span class="nb">{escape(str(card["last_on"] or "–"))}</span>', str(card["files"]), str(card["rows"]), tell_share(card["share"]),
            c(card["trend"]), "–" if card["delay_days"] is None else f"{card['delay_days']:g}", str(card["open_count"]),
            str(card["held_count"]), ", ".join(t(name) for name in card["signals"]) or "–",
        )
        for card in cards
    ), numbers=(2, 3, 4, 6, 7, 8))  # fmt: skip


def _list_due(due: Mapping[str, Any], language: str) -> str:
    def t(name: str) -> str:
        return say("index", name, language)

    rows = (
        (say("programme", row["programme"], language), t("repeat" if row["is_repeat"] else "step"), str(row["due"]), str(row["overdue"]))
        for row in due["counts"]
    )
    return write_table([t("programme"), t("what"), t("due"), t("overdue")], rows, numbers=(2, 3))


def draw_funnel(
    band: Mapping[str, Sequence[tuple[float, float, float]]], national: float, others: Sequence[tuple[int, float]],
    own: tuple[int, float] | None,
) -> str:  # fmt: skip
    """An SVG: `band` = level -> (rows, low, high) by rows ascending; other senders are dots without a name.

    The place of the horizontal axis' name is left as @rows, for its language.
    """
    widest = max((n for points in band.values() for n, _, _ in points), default=1.0)
    top = min(1.0, max([0.02, *(s for _, s in others), *([own[1]] if own else []),
                        *(h for points in band.values() for n, _, h in points if n >= widest / 20)]) * 1.1)  # fmt: skip

    def x(n: float) -> float:
        return _LEFT + (_WIDE - _LEFT - 10) * n / widest

    def y(share: float) -> float:
        return _LOW - (_LOW - 12) * min(share, top) / top

    parts = [f'<svg viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" height="{_HIGH}" role="img" font-size="12" font-family="sans-serif">']
    for level, colour in (("99.8", "#dfe8f1"), ("95", "#c3d5e6")):
        points = band.get(level, ())
        outline = [f"{x(n):.1f},{y(high):.1f}" for n, _, high in points] + [f"{x(n):.1f},{y(low):.1f}" for n, low, _ in reversed(points)]
        parts.append(f'<polygon points="{" ".join(outline)}" fill="{colour}"/>')
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDE - 10}" y1="{y(national):.1f}" y2="{y(national):.1f}" stroke="#0b5394"/>')
    parts.append(f'<path d="M{_LEFT} 12V{_LOW}H{_WIDE - 10}" fill="none" stroke="#525f6e"/>')
    for k in range(5):
        tick, along = top * k / 4, widest * k / 4
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#525f6e">{tell_share(tick)}</text>')
        parts.append(f'<text x="{x(along):.1f}" y="{_LOW + 16}" text-anchor="{"end" if k == 4 else "middle"}" fill="#525f6e">{along:.0f}</text>')
    parts.append(f'<text x="{(_LEFT + _WIDE) / 2:.0f}" y="{_LOW + 34}" text-anchor="middle" fill="#525f6e">@rows</text>')
    parts += [f'<circle cx="{x(n):.1f}" cy="{y(s):.1f}" r="2.5" fill="#8794a3"/>' for n, s in others]
    if own:
        parts.append(f'<circle cx="{x(own[0]):.1f}" cy="{y(own[1]):.1f}" r="6" fill="#a61b1b" stroke="#fff" stroke-width="2"/>')
    return "".join(parts) + "</svg>"


def tell_share(share: float | None) -> str:
    """A share as per cent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def _list_missing(card: Mapping[str, Any], language: str) -> str:
    told = []
    if card["missing_days"]:
        told.append(say("card", "missing_days", language, days=", ".join(card["missing_days"])))
    if card["is_overdue"]:
        told.append(say("card", "overdue", language, days=card["since_last"], usual=f"{card['usual_interval']:g}"))
    if card["births_without"]:
        told.append(say("card", "births", language, since=card["births_since"], until=card["births_until"],
                        births=card["births"], without=card["births_without"]))  # fmt: skip
    return "".join(f"<p>{text}</p>" for text in told) or f"<p>{say('card', 'on_time', language)}</p>"


def _list_findings(findings: Sequence[Mapping[str, Any]], language: str) -> str:
    if not findings:
        return f"<p>{say('card', 'none', language)}</p>"
    heads = [say("card", name, language) for name in ("what", "count", "example")]
    return write_table(heads, (
        (
            f"{escape(tell_finding(f['code'], f['column'], {})[language])} <code>{escape(f['code'])}</code>", str(f["rows"]),
            f'<a href="../feedback/{escape(f["submission_id"])}/feedback.html">{escape(f["file_name"])}</a>: '
            + ", ".join(say_line(no, language) for no in f["lines"]),
        )
        for f in findings
    ), numbers=(1,))  # fmt: skip
