// SPDX-License-Identifier: Apache-2.0

/**
 * Starts the command line on a JDK 25 from whatever JVM it finds itself in. Compiled for Java 17 and free of dependencies, because
 * {@code exec:java} runs it inside Maven's own JVM.
 */
@NullMarked
package dev.halftone.launcher;

import org.jspecify.annotations.NullMarked;
