// GenieOS as a client in another language: plain JSON in, plain JSON out.
// node send.mjs ADDRESS TASK_QUEUE < request.json
import { readFileSync } from "node:fs";
import { Client, Connection, WithStartWorkflowOperation } from "@temporalio/client";

const [address, taskQueue] = process.argv.slice(2);
const request = JSON.parse(readFileSync(0, "utf-8"));
const connection = await Connection.connect({ address });
const client = new Client({ connection });

const start = new WithStartWorkflowOperation("SendWorkflow", {
  workflowId: `iterable/${request.workspace_id}/send/${request.send_id}`,
  args: [request],
  taskQueue,
  workflowIdConflictPolicy: "USE_EXISTING",
  workflowIdReusePolicy: "REJECT_DUPLICATE",
});
const accepted = await client.workflow.executeUpdateWithStart("accepted", { startWorkflowOperation: start });
const handle = await start.workflowHandle();
const result = await handle.result();
console.log(JSON.stringify({ accepted, result }));
await connection.close();
