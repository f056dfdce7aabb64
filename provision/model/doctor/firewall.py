"""What a node's own firewall (nftables) does with a new TCP connection, worked out from `nft --json list ruleset`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_VERDICTS: Final = ("accept", "drop", "reject")
_Value = TypeVar("_Value", str, int)


class Firewall:
    """A ruleset that is asked about many connections: those that none of its rules tells apart are worked out once."""

    def __init__(self, ruleset: Sequence[Mapping[str, Any]]) -> None:
        self._ruleset = ruleset
        self._compared: dict[str, list[object]] = {"saddr": [], "daddr": [], "dport": []}
        for item in ruleset:
            for part in item.get("rule", {}).get("expr", ()):
                if "match" in part and (field := _payload(part["match"])):
                    self._compared[field].append(part["match"]["right"])
        self._kinds: dict[tuple[str, object], tuple[bool, ...]] = {}
        self._told: dict[object, str] = {}

    def refusal(self, source: str, target: str, port: int, hook: str = "input") -> str:
        """Return what `refusal` does."""
        key = (hook, self._kind("saddr", source), self._kind("daddr", target), self._kind("dport", port))
        if key not in self._told:
            self._told[key] = refusal(self._ruleset, source, target, port, hook)
        return self._told[key]

    def alike(self, field: str, values: Iterable[_Value]) -> list[list[_Value]]:
        """Return the values of a packet's field in groups that no rule tells apart, in the order of the first ones."""
        groups: dict[tuple[bool, ...], list[_Value]] = {}
        for value in values:
            groups.setdefault(self._kind(field, value), []).append(value)
        return list(groups.values())

    def _kind(self, field: str, value: object) -> tuple[bool, ...]:
        """Return which of the rules' comparisons hold for a value."""
        key = (field, value)
        if key not in self._kinds:
            self._kinds[key] = tuple(_holds(right, value) for right in self._compared[field])
        return self._kinds[key]


def refusal(ruleset: Sequence[Mapping[str, Any]], source: str, target: str, port: int, hook: str = "input") -> str:
    """Return which rule or policy stops a connection from `source` to `target`:`port`; empty if none does.

    `hook`: input for the rules of the target, output for those of the source. A match that is not known here counts as
    none: of that rule nothing is said.
    """
    packet = {"saddr": source, "daddr": target, "dport": port}
    chains = [item["chain"] for item in ruleset if "chain" in item]
    rules = [item["rule"] for item in ruleset if "rule" in item]
    # Every chain on the way has to let it through, whichever table it is in.
    for chain in sorted((each for each in chains if each.get("hook") == hook), key=lambda each: each.get("prio", 0)):
        verdict, where = _walk(chain["table"], chain["name"], rules, packet, 0)
        if not verdict:
            verdict, where = chain.get("policy", "accept"), f"policy {chain.get('policy', 'accept')}"
        if verdict in ("drop", "reject"):
            return f"nft: chain {chain['name']} of table {chain['family']} {chain['table']}, {where}"
    return ""


def _walk(
    table: str, chain: str, rules: Sequence[Mapping[str, Any]], packet: Mapping[str, Any], depth: int
) -> tuple[str, str]:
    """Return the verdict of a chain's first rule that matches, and that rule in words; empty if none does."""
    for rule in rules:
        if (rule["table"], rule["chain"]) != (table, chain) or depth > 16:
            continue
        if not all(_matches(part["match"], packet) for part in rule["expr"] if "match" in part):
            continue
        for part in rule["expr"]:
            verdict = next((word for word in _VERDICTS if word in part), "")
            if verdict:
                return verdict, f"rule {rule['handle']}: {verdict}{_of(rule)}"
            jump = part.get("jump") or part.get("goto")
            if jump and (found := _walk(table, jump["target"], rules, packet, depth + 1))[0]:
                return found
            if "return" in part:
                return "", ""
    return "", ""


def _of(rule: Mapping[str, Any]) -> str:
    fields = [part["match"] for part in rule["expr"] if "match" in part]
    words = [f"{each['left']['payload']['field']} {_written(each['right'])}" for each in fields if _payload(each)]
    return f" for {', '.join(words)}" if words else ""


def _payload(match: Mapping[str, Any]) -> str:
    """Return the packet's field that is compared: saddr, daddr, dport; empty for anything else."""
    left = match["left"].get("payload", {}) if isinstance(match["left"], dict) else {}
    known = (left.get("protocol"), left.get("field")) in (("ip", "saddr"), ("ip", "daddr"), ("tcp", "dport"))
    return str(left["field"]) if known else ""


def _matches(match: Mapping[str, Any], packet: Mapping[str, Any]) -> bool:
    left, right = match["left"], match["right"]
    field = _payload(match)
    if field:
        return _holds(right, packet[field]) is (match["op"] != "!=")
    state = left.get("ct", {}).get("key") == "state"
    protocol = left.get("meta", {}).get("key") in ("l4proto", "protocol") if isinstance(left, dict) else False
    if state or protocol:
        return ("new" if state else "tcp") in _each(right)
    return False


def _each(right: object) -> list[object]:
    if isinstance(right, dict) and "set" in right:
        return list(right["set"])
    return list(right) if isinstance(right, list) else [right]


def _holds(right: object, value: object) -> bool:
    return any(_is(each, value) for each in _each(right))


def _is(each: object, value: object) -> bool:
    if isinstance(each, dict) and "prefix" in each:
        network = f"{each['prefix']['addr']}/{each['prefix']['len']}"
        return ipaddress.ip_address(str(value)) in ipaddress.ip_network(network)
    if isinstance(each, dict) and "range" in each:
        first, last = each["range"]
        if isinstance(value, int):
            return int(first) <= value <= int(last)
        return ipaddress.IPv4Address(first) <= ipaddress.IPv4Address(str(value)) <= ipaddress.IPv4Address(last)
    return each == value


def _written(right: object) -> str:
    if isinstance(right, dict) and "prefix" in right:
        return f"{right['prefix']['addr']}/{right['prefix']['len']}"
    if isinstance(right, dict) and "range" in right:
        return "-".join(map(str, right["range"]))
    return ", ".join(_written(each) for each in _each(right)) if isinstance(right, (dict, list)) else str(right)
