"""Alerts in promtool's unit tests, and what tables of series name. Panels are seen live in test_watched_journey."""

import subprocess
from pathlib import Path

import pytest
import yaml
from monitoring import plain, program, rule_test

from genops.generate import dashboards, rules
from genops.shell.statuses import FIELDS

GDP = 'genops_condition{kind="GenDeployment",namespace="team",name="front"'
SERIES = 'namespace="team",model="front"'

# Which series send an alert, and which much like them do not. Values are a minute apart; an hour is looked at.
SENT: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "GenopsNotLeading": ({"genops_leading": "0x60"}, {"genops_leading": "1x60"}),
    "GenopsQueueStuck": (
        {"genops_queue_oldest_age_seconds": "90x60"},
        {"genops_queue_oldest_age_seconds": "30x60"},
    ),
    "GenopsFaults": (
        {
            'genops_reconcile_total{kind="A",result="done"}': "0+6x60",
            'genops_reconcile_total{kind="A",result="fault"}': "0+4x60",
        },
        {
            'genops_reconcile_total{kind="A",result="done"}': "0+9x60",
            'genops_reconcile_total{kind="A",result="fault"}': "0+1x60",
        },
    ),
    "GenopsPrometheusUnreachable": (
        {'genops_prometheus_queries_total{answer="PrometheusUnreachable"}': "0+1x60"},
        {'genops_prometheus_queries_total{answer="Number"}': "0+1x60"},
    ),
    "GenDeploymentNotReady": (
        {GDP + ',type="Ready",status="False",reason="CrashLoop"}': "1x60"},
        {GDP + ',type="Ready",status="False",reason="Parked"}': "1x60"},
    ),
    "GenServersMissing": (
        {'genops_deployment_replicas{name="front"}': "3x60", 'genops_deployment_ready_replicas{name="front"}': "2x60"},
        {'genops_deployment_replicas{name="front"}': "3x60", 'genops_deployment_ready_replicas{name="front"}': "3x60"},
    ),
    "GenRequestsFail": (
        {
            f'genops_requests_total{{{SERIES},outcome="failed"}}': "0+1x60",
            f'genops_requests_total{{{SERIES},outcome="answered"}}': "0+9x60",
        },
        {
            f'genops_requests_total{{{SERIES},outcome="wrong"}}': "0+5x60",
            f'genops_requests_total{{{SERIES},outcome="answered"}}': "0+9x60",
        },
    ),
    "GenQueueLong": (
        {
            f"nv_inference_queue_duration_us{{{SERIES}}}": "0+2e6x60",
            f"nv_inference_request_success{{{SERIES}}}": "0+1x60",
        },
        {
            f"nv_inference_queue_duration_us{{{SERIES}}}": "0+2e6x60",
            f"nv_inference_request_success{{{SERIES}}}": "0+9x60",
        },
    ),
    "GenRecordsDropped": (
        {f'genops_captured_total{{{SERIES},outcome="dropped"}}': "0+1x60"},
        {f'genops_captured_total{{{SERIES},outcome="limited"}}': "0+1x60"},
    ),
    "GenRolledBack": (
        {GDP + ',type="RolledBack",status="True",reason="RolledBack"}': "1x60"},
        {GDP + ',type="RolledBack",status="False",reason="Serving"}': "1x60"},
    ),
    "GenDrifted": (
        {GDP + ',type="Drifted",status="True",reason="Drifted"}': "1x60"},
        {GDP + ',type="Drifted",status="False",reason="NoDrift"}': "1x60"},
    ),
    "GenDriftUnknown": (
        {GDP + ',type="Drifted",status="Unknown",reason="Stale"}': "1x60"},
        {GDP + ',type="Drifted",status="Unknown",reason="TooFewSamples"}': "1x60"},
    ),
    "GenTrainingStands": (
        {
            'genops_training_steps{namespace="team",name="run"}': "7x60",
            'genops_condition{kind="GenTrainingJob",namespace="team",name="run",type="Complete",status="False",reason="Training"}': "1x60",
        },
        {
            'genops_training_steps{namespace="team",name="run"}': "7x60",
            'genops_condition{kind="GenTrainingJob",namespace="team",name="run",type="Complete",status="True",reason="WeightsReady"}': "1x60",
        },
    ),
    "GenRunFailed": (
        {
            'genops_condition{kind="GenTrainingJob",namespace="team",name="run",type="Failed",status="True",reason="BadData"}': "1x60"
        },
        {
            'genops_condition{kind="GenTrainingJob",namespace="team",name="run",type="Failed",status="False",reason="Training"}': "1x60"
        },
    ),
}
LEADING = {"genops_leading": "1x60"}


def fires(folder: Path, alert: str, series: dict[str, str], at: str = "1h") -> bool:
    """Ask promtool whether the alert is sent by these series."""
    given = [
        {"series": name, "values": values}
        for name, values in ({} if "genops_leading" in series else LEADING | series).items()
    ]
    given = given or [{"series": name, "values": values} for name, values in series.items()]
    expression = f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    expected = {
        "expr": expression,
        "eval_time": at,
        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}],
    }
    test = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": [expected]}],
    }
    return rule_test(folder, test, rules.text()) == ""


@pytest.mark.parametrize("alert", rules.ALERTS, ids=lambda a: a.name)
def test_an_alert_is_sent_when_it_should_and_not_before(tmp_path: Path, alert: rules.Alert) -> None:
    bad, good = SENT[alert.name]
    assert fires(tmp_path, alert.name, bad)
    assert not fires(tmp_path, alert.name, good)
    if alert.minutes:
        assert not fires(tmp_path, alert.name, bad, f"{alert.minutes - 1}m")


def test_the_words_of_an_alert_name_the_object(tmp_path: Path) -> None:
    labels = {"kind": "GenDeployment", "namespace": "team", "name": "front", "type": "Drifted", "status": "True"}
    expected = {
        "exp_labels": labels | {"reason": "Drifted", "severity": "warning"},
        "exp_annotations": {
            "summary": "The traffic of GenDeployment team/front has drifted from its training data",
            "description": "status.drift names the watch and its value; retrain, or change the watch.",
        },
    }
    given = [{"series": GDP + ',type="Drifted",status="True",reason="Drifted"}', "values": "1x60"}]
    alert = {"alertname": "GenDrifted", "eval_time": "5m", "exp_alerts": [expected]}
    rule_test(
        tmp_path, {"tests": [{"interval": "1m", "input_series": given, "alert_rule_test": [alert]}]}, rules.text()
    )


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules.text())
    asked = [{"record": f"panel:{n}", "expr": plain(q.expr)} for n, (_, q) in enumerate(dashboards.queries())]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    for name in ("rules.yaml", "panels.yaml"):
        done = subprocess.run(
            [program("promtool"), "check", "rules", "--lint-fatal", tmp_path / name],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_field_that_is_told_is_one_that_a_status_may_have() -> None:
    """The table names fields by paths of text; the schema says which there are."""
    from genops.generate.crds import DEFINITIONS, root

    schemas = {d.kind: root(d)["properties"]["status"] for d in DEFINITIONS}
    for field in FIELDS:
        node = schemas[field.kind.kind]
        for part in field.each.split(".") if field.each else ():
            node = node["properties"][part]
        node = node["items"] if field.each else node
        for part in field.path.split("."):
            node = node["properties"][part]
