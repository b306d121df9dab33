"""What became of the commands on a machine, and what its agent does not answer."""

SENTENCES = {
    "command.named": "{step} ({document}, command {id})",
    "command.not_seen": "{machine}: {step}: it cannot be seen yet whether it was sent",
    "command.late": "{machine}: {command} is not over at the deadline ({status}); it may still be at work",
    "command.late.not_seen": "{machine}: {command} is not over at the deadline (not seen); it may still be at work",
    "command.machine_terminated": "{machine}: was terminated during {command}",
    "command.machine_stopped": "{machine}: was stopped by somebody else during {command}",
    "command.expired": "{machine}: {command} was not over when it expired; it may still be at work",
    "command.cut_short": "{machine}: {command} was not over after its execution time-out; it may still be at work",
    "command.not_delivered": "{machine}: {command} never reached the machine: {status}",
    "command.cancelled": "{machine}: {command} was cancelled by somebody",
    "command.did_nothing": "{machine}: {command} did nothing: {output}",
    "command.failed": "{machine}: {command} ended as {status} (exit code {code}); its output: {log}",
    "probe.ended": "{command} ended as {status} (exit code {code})",
    "probe.not_json": "{command} answered {output}, not the JSON it should",
    # Agents that were to be updated.
    "agent.version_unknown": "{agent}: its version cannot be told, although the update reported success",
    "agent.update_failed": "{agent}: the update failed; its version is {version}",
    "agent.gone": "{agent}: the update failed; {version} is gone",
    "agent.not_installed": "{agent}: the update failed; it is not installed",
    # What a machine lacks to be reached.
    "wait.machine_terminated": "{machine}: was terminated while Drydock waited for it",
    "wait.machine_stopped": "{machine}: was stopped by somebody else",
    "machine.not_reachable": "{machine}: not reachable at the deadline: {reason}",
    "machine.is_in_state": "it is {state}",
    "agent.status_checks": "its status checks have not passed",
    "agent.unknown": (
        "Systems Manager does not know it: check the SSM Agent, the instance profile (AmazonSSMManagedInstanceCore) "
        "and the route to Systems Manager"
    ),
    "agent.offline": "its SSM Agent is not online (last ping {ping:time} UTC)",
    "agent.silent": "its SSM Agent has not called in since {since:time} UTC",
    # What may still be at work on a machine, so that its power is not touched.
    "settling.deadline": "{machine}: not settled at the deadline: {hindrance}; the machine is left as it is",
    "settling.command": "{step} (command {id})",
    "settling.not_seen": "not seen yet",
    "settling.at_work": "at work: {commands:list}",
    "settling.cut_short": "{commands:list} {commands:was|were} cut short and may go on: {said}",
    "settling.agent_offline": "the agent is not online",
    "settling.agent_silent": "the agent is silent since {since:time} UTC",
    "settling.changing": "the machine is {state}",
    "proof.command": "the probe",
    "proof.not_sent_yet": "the machine was not asked yet",
    "proof.not_sent": "the probe could not be sent: {reason}",
    "proof.not_answered": "the probe has not answered",
    # Why a machine is not given back yet, where nothing is at work on it.
    "hindrance.wait_for_functions": "a function that has begun something for it may still be at work",
    "hindrance.run_hook": "the hook that lets it work again is sent first",
    "hindrance.stop": "it has to be stopped first",
    "hindrance.wait_until_stopped": "it is being stopped",
    "hindrance.release": "nothing any more",
}
