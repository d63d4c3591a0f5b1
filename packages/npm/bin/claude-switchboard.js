#!/usr/bin/env node
// Starts the program of this platform with the same arguments, and ends as it does.
'use strict';

const {spawn} = require('node:child_process');
const {constants} = require('node:os');
const {StartError, findProgram} = require('../lib/platform.js');

// A terminal sends these to the program itself, which takes a second one as more urgent.
const OF_TERMINAL = ['SIGINT', 'SIGQUIT'];
const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];

function fail(problem, hint) {
  process.stderr.write(`error: ${problem}\nhint: ${hint}\n`);
  process.exitCode = 1;
}

function run(program) {
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  let child;
  // Before the program starts, so that none is missed; they run once the start has returned.
  const handlers = [...OF_TERMINAL, ...PASSED_ON].map((signal) => {
    const handler = () => {
      if (!onTerminal || PASSED_ON.includes(signal)) child.kill(signal);
    };
    process.on(signal, handler);
    return [signal, handler];
  });
  child = spawn(program, process.argv.slice(2), {stdio: 'inherit'});
  const release = () => handlers.forEach(([signal, handler]) => process.off(signal, handler));

  child.on('error', (error) => {
    release();
    fail(`${program} cannot be started: ${error.message}`, 'install claude-switchboard again');
  });
  child.on('exit', (code, signal) => {
    release();
    if (signal === null) {
      process.exitCode = code;
    } else {
      // Ends by the same signal, or else with the status that shells give to it.
      process.exitCode = 128 + constants.signals[signal];
      process.kill(process.pid, signal);
    }
  });
}

try {
  run(findProgram());
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  fail(error.message, error.hint);
}
