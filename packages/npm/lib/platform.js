// Finds the program in the package of this platform.
'use strict';

const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

/** Says what went wrong, and what to do. */
class StartError extends Error {
  constructor(problem, hint) {
    super(problem);
    this.hint = hint;
  }
}

/** Tells whether this Linux has musl in place of glibc. */
function usesMusl(processInfo = process) {
  return processInfo.platform === 'linux' && !processInfo.report?.getReport().header.glibcVersionRuntime;
}

/** Returns the path of the program; `resolve` is that of Node.js. */
function findProgram(processInfo = process, resolve = require.resolve, version = require('../package.json').version) {
  const platform = `${processInfo.platform}-${processInfo.arch}`;
  if (!PLATFORMS.includes(platform)) {
    throw new StartError(`there is no claude-switchboard for ${platform}`, `it runs on ${PLATFORMS.join(', ')}`);
  }
  if (usesMusl(processInfo)) {
    throw new StartError('this Linux has no glibc, which claude-switchboard needs', 'use an image with glibc, such as node:22-slim');
  }
  const name = `@claude-switchboard/${platform}`;
  try {
    return resolve(`${name}/bin/claude-switchboard`);
  } catch {
    throw new StartError(
      `the package ${name} is not installed`,
      'npm leaves it out with --omit=optional, and with a lock file that was made on another platform. Install it by\n' +
        `      npm install ${name}@${version}\n` +
        '      (with --global if claude-switchboard is global)',
    );
  }
}

module.exports = {PLATFORMS, StartError, findProgram, usesMusl};
