// SPDX-License-Identifier: Apache-2.0
package dev.halftone.models.image;

import dev.halftone.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What an image file holds.
 *
 * @param rgb {@code [H, W, 3]}, 0..255; grey repeated
 * @param alpha {@code [H, W, 1]}, 0..255, or null without transparency
 */
public record DecodedImage(Tensor rgb, @Nullable Tensor alpha) {}
