"""monitoring/: what its alerts and its dashboard name is there, on a real exporter and a real relay."""

import json
import os
import re
import subprocess

import pytest
import yaml

from testkit import rig
from testkit.documents import ROOT

PLACE = ROOT / "monitoring"
EXPORTER = ROOT / "build" / "prometheus-postgres-exporter"
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
QUERIES = yaml.safe_load((PLACE / "queries.yaml").read_text(encoding="utf-8"))
ALERTS = [rule for group in yaml.safe_load((PLACE / "alerts.yaml").read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
TESTS = yaml.safe_load((PLACE / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
DASHBOARD = json.loads((PLACE / "grafana.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
ASKED = [alert["expr"] for alert in ALERTS]


def named(expression):
    """The metrics of an expression; a histogram by its own name."""
    return {re.sub(r"_bucket$", "", metric) for metric in re.findall(r"\b(?:vote_agg|vote_relay|process)_\w+", expression)}


def metrics_of(text):
    return set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))


@pytest.fixture
def exported(db):
    """What the exporter says of a database, with the rights of a reader: its text."""
    port = rig.free_port()
    command = [EXPORTER, "--disable-default-metrics", f"--extend.query-path={PLACE / 'queries.yaml'}", f"--web.listen-address=127.0.0.1:{port}"]
    environment = {"PATH": os.environ["PATH"], "DATA_SOURCE_NAME": f"{db.url()}?sslmode=disable"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as exporter:
        try:

            def scrape():
                assert exporter.poll() is None, exporter.stderr.read()
                try:
                    return rig.get(f"http://127.0.0.1:{port}/metrics")[2].decode()
                except OSError:
                    return None

            yield lambda: rig.eventually("the exporter answers", scrape)
        finally:
            exporter.terminate()


def test_the_database_is_told_as_it_is(db, exported):
    db.sql("SELECT record_vote('final', 'home', '872a1072bffffff', 'US', 3)")
    rig.settle(db.connect)
    text = exported()
    metrics = {f"{query}_{name}" for query, parts in QUERIES.items() for metric in parts["metrics"] for name, how in metric.items() if how["usage"] != "LABEL"}
    assert metrics <= metrics_of(text), metrics - metrics_of(text)
    value = dict(re.findall(r"^(\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE))
    assert float(value["vote_agg_live_votes"]) == 3 and float(value["vote_agg_live_open_matches"]) == 1
    assert float(value["vote_agg_fold_folds_total"]) >= 1
    assert len(re.findall(r"^vote_agg_pending_rows\{", text, re.MULTILINE)) == 3
    states = dict(re.findall(r'^vote_agg_status_state\{check_name="([^"]+)"[^}]*\} (\S+)$', text, re.MULTILINE))
    said = db.sql("SELECT check_name, array_position('{ok,warn,fail}', state) - 1 FROM vote_agg.status()")
    assert {check: float(state) for check, state in states.items()} == dict(said)
    assert set(re.findall(r"`(vote_agg_\w+)`", PAGE)) == metrics
    assert set(re.findall(r'check_name="(\w+)"', " ".join(ASKED))) <= states.keys()


def test_every_metric_that_is_named_exists(db, exported, new_relay):
    relay = new_relay(origins="https://vote.example.org")
    assert rig.get(f"{relay.url}/matches", Origin="https://elsewhere.example.org")[0] == 403  # a metric with labels is there from its first count on
    metrics = metrics_of(exported()) | metrics_of(rig.get(f"{relay.url}/metrics")[2].decode())
    wanted = set().union(*map(named, SHOWN + ASKED))
    assert len(wanted) > 30 and wanted <= metrics, wanted - metrics


def test_each_alert_has_a_runbook_and_each_runbook_an_alert():
    sections = re.findall(r"^### (\w+)$", PAGE.split("\n## Alerts\n")[1], re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/monitoring.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("page", "ticket") and alert["annotations"]["summary"]


def test_each_alert_is_seen_to_fire_and_to_be_quiet():
    seen = {(case["alertname"], bool(case["exp_alerts"])) for test in TESTS for case in test["alert_rule_test"]}
    assert seen == {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}


def test_the_dashboard_is_whole():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource"}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places)) and all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
    for panel in PANELS:
        assert panel["targets"] and {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
