// SPDX-License-Identifier: Apache-2.0
package dev.halftone.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigInteger;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PackedCodesTest {
    private static byte[] randomCodes(int n, int bits, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] codes = new byte[n];
        for (int i = 0; i < n; i++) {
            codes[i] = (byte) random.nextInt(1 << bits);
        }
        return codes;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void packedBytesAreOneLittleEndianBitStream(int bits) {
        for (int n : new int[] {0, 1, 2, 3, 5, 7, 8, 9, 31, 64, 100, 1000}) {
            byte[] codes = randomCodes(n, bits, 31L * n + bits);
            PackedCodes packed = PackedCodes.pack(codes, bits);

            BigInteger stream = BigInteger.ZERO;
            for (int i = n - 1; i >= 0; i--) {
                stream = stream.shiftLeft(bits).or(BigInteger.valueOf(codes[i] & 0xFF));
            }
            byte[] bytes = packed.toByteArray();
            assertThat(bytes).hasSize((n * bits + 7) / 8);
            for (int i = 0; i < bytes.length; i++) {
                assertThat(bytes[i]).isEqualTo(stream.shiftRight(8 * i).byteValue());
            }

            assertThat(packed.size()).isEqualTo(n);
            assertThat(packed.bits()).isEqualTo(bits);
            assertThat(packed.unpack()).isEqualTo(codes);
            for (int i = 0; i < n; i++) {
                assertThat(packed.get(i)).isEqualTo(codes[i] & 0xFF);
            }
            assertThat(PackedCodes.of(bytes, bits, n)).isEqualTo(packed).hasSameHashCodeAs(packed);
        }
    }

    @Test
    void twoBitCodesFillBytesFromTheLowEnd() {
        assertThat(PackedCodes.pack(new byte[] {1, 2, 3, 0, 3}, 2).toByteArray())
                .containsExactly(0b00_11_10_01, 0b11);
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PackedCodes.pack(new byte[] {0, 4}, 2))
                .withMessage("code 4 at index 1 needs more than 2 bits");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PackedCodes.pack(new byte[] {(byte) 255}, 7))
                .withMessageContaining("code 255");
        assertThatIllegalArgumentException().isThrownBy(() -> PackedCodes.pack(new byte[0], 0));
        assertThatIllegalArgumentException().isThrownBy(() -> PackedCodes.pack(new byte[0], 9));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PackedCodes.of(new byte[3], 2, 8))
                .withMessage("8 codes of 2 bits take 2 bytes, not 3");
        assertThatIllegalArgumentException().isThrownBy(() -> PackedCodes.of(new byte[0], 2, -1));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PackedCodes.of(new byte[] {0b0100_0000}, 3, 2))
                .withMessage("bits are set behind the last of 2 codes of 3 bits");
        assertThatThrownBy(() -> PackedCodes.pack(new byte[3], 2).get(3)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void lengthsDoNotOverflow() {
        assertThat(PackedCodes.byteLength(Integer.MAX_VALUE, 8)).isEqualTo(Integer.MAX_VALUE);
        assertThat(PackedCodes.byteLength(Integer.MAX_VALUE, 3)).isEqualTo(805306368);
    }

    @Test
    void doesNotShareTheCallersArray() {
        byte[] bytes = {0b01};
        PackedCodes packed = PackedCodes.of(bytes, 2, 1);
        bytes[0] = 0;
        packed.toByteArray()[0] = 0;
        assertThat(packed.get(0)).isEqualTo(1);
    }
}
