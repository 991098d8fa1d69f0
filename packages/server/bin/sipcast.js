#!/usr/bin/env node
// The program as npm links it. It exists before the first build, so that an installation in a clone can link it, too.
import '../dist/cli.js';
