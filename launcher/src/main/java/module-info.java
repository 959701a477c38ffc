// SPDX-License-Identifier: Apache-2.0

/** Starts the command line on a JDK 25 from whatever JVM it finds itself in. */
module dev.halftone.launcher {
    requires static org.jspecify;
}
