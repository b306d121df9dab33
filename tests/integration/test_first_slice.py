from __future__ import annotations

from tests.integration.scenario import assert_given_back, scenario


def test_a_running_linux_machine_is_patched_between_two_images() -> None:
    with scenario() as scene:
        web = scene.machine("web-1")

        execution = scene.patch(web)

        assert execution.status == "SUCCEEDED"
        assert scene.result(web)["verdict"] == "compliant"
        assert web.missing == []
        assert [image.state for image in scene.images(web)] == ["available", "available"]
        assert_given_back(scene, web, "running")


def test_a_machine_killed_in_the_middle_of_an_installation_is_given_back_when_the_installation_is_over() -> None:
    with scenario() as scene:
        win = scene.machine("win-1", platform="Windows", power="stopped")
        execution = scene.start(win)
        scene.run_until(execution, "Install Patches", seconds=120)

        scene.account.stop_execution(execution)
        scene.settle()

        assert_given_back(scene, win, "stopped")
        assert scene.result(win)["outcome"] == "failed"
        assert len(scene.messages) == 1
