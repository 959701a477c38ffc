// SPDX-License-Identifier: Apache-2.0

/**
 * Quantization of a network: what is quantized ({@link dev.halftone.quant.Scope}), the run of a recipe and what it has decided for
 * every layer, the layers that take the place of fp32 ones, and the file of a quantized model.
 */
@NullMarked
package dev.halftone.quant;

import org.jspecify.annotations.NullMarked;
