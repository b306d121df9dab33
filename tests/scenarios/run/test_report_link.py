"""The link of a message to the report's page, followed as a browser follows it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from rehearsal.engine.calls import REGION
from tests.scenarios.run.scenario import FAILING, QUICKLY, run_scenario


def test_the_link_of_the_mail_leads_to_the_page_of_the_run_in_its_own_region() -> None:
    with run_scenario(parameters={"ApprovalAuth": "LINK"}) as scene:
        scene.member("web", "web-1", **FAILING)
        run = scene.run("web", QUICKLY, name="night-1")
        (link,) = re.findall(r"https://\S+/report\?\S+", run.summary.said)
        address = urlsplit(link)
        answer = scene.account.urls.request(scene.stack.outputs["DecideUrl"], path=address.path, query=address.query)
        signed = answer.headers["location"]
        # The account's S3 answers.
        page = requests.get(signed, timeout=5)

    assert (answer.status, page.status_code) == (303, 200)
    # Regions that were launched after 2019 are not reached by S3's global address.
    bucket = scene.stack.outputs["LogBucketName"]
    assert urlsplit(signed).netloc == f"{bucket}.s3.{REGION}.amazonaws.com"
    assert "The only machine failed (run night-1)" in page.text
    assert ": Drydock, look tomorrow: web-1" in page.text
