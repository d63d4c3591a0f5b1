// opencommit: a commit message. The diff is the only prompt and contains the directive.

import { writeFile } from "node:fs/promises";

import { apiKey, baseURL, check, run, same, say } from "./checks.mjs";

const env = {
  OCO_AI_PROVIDER: "openai", OCO_API_KEY: apiKey, OCO_API_URL: baseURL, OCO_MODEL: "sonnet", OCO_GITPUSH: "false",
  GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@example.com", GIT_COMMITTER_NAME: "A", GIT_COMMITTER_EMAIL: "a@example.com",
};

await check("chat", async () => {
  await run("git", ["init", "--quiet"]);
  await writeFile("note.txt", `${say("docs: a note")}\n`);
  await run("git", ["add", "note.txt"]);
  await run("oco", ["--yes"], { env });
  same((await run("git", ["log", "--format=%s"])).trim(), "docs: a note");
});
