// A folder for Codex with its default configuration and a separate home.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { baseURL } from "./support.mjs";

const codex = process.env.CODEX_BIN ?? join(import.meta.dirname, "node_modules", ".bin", "codex");
const mcpServer = join(import.meta.dirname, "mcp-server.mjs");

const config = (isSocket) => `
model_provider = "switchboard"
[model_providers.switchboard]
name = "switchboard"
base_url = ${JSON.stringify(baseURL)}
env_key = "SWITCHBOARD_KEY"
wire_api = "responses"
supports_websockets = ${isSocket}
[mcp_servers.weather]
command = ${JSON.stringify(process.execPath)}
args = ${JSON.stringify([mcpServer])}
`;

/** Creates the folder for a test; `run` returns the output of Codex, over HTTP or over a WebSocket. */
export async function codexFolder(t, { key, isSocket = false }) {
  const root = await mkdtemp(join(homedir(), "codex-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const [home, work] = [join(root, "home"), join(root, "work")];
  await Promise.all([home, work].map((path) => mkdir(path)));
  await writeFile(join(home, "config.toml"), config(isSocket));
  const env = { ...process.env, HOME: root, TMPDIR: root, CODEX_HOME: home, SWITCHBOARD_KEY: key };
  const run = async (model, ...words) => {
    const flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", model];
    const running = promisify(execFile)(codex, ["exec", ...flags, ...words], { cwd: work, env });
    running.child.stdin.end();
    return (await running).stdout.trim();
  };
  return { work, run };
}
