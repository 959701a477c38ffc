// SPDX-License-Identifier: Apache-2.0
/** ONNX Runtime as a peer of the benchmarks. */
@NullMarked
package dev.halftone.bench.onnxruntime;

import org.jspecify.annotations.NullMarked;
