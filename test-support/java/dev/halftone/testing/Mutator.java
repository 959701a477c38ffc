// SPDX-License-Identifier: Apache-2.0
package dev.halftone.testing;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.zip.CRC32;

/**
 * Damages files. It knows what would make a reader stop too early: the checksums of PNG chunks are put right in most mutants, and the
 * header of a safetensors file is as long as it says.
 */
public final class Mutator {
    private static final long[] INTERESTING = {
        0, 1, 2, 7, 8, 16, 31, 32, 64, 100, 127, 128, 255, 256, 1000, 1024, 4096, 32767, 32768, 65535, 65536, 1 << 20, 1 << 24, 1 << 26,
        100_000_000, Integer.MAX_VALUE, 1L << 31, (1L << 32) - 1, 1L << 32, Long.MAX_VALUE, -1, -2, Integer.MIN_VALUE, Long.MIN_VALUE
    };
    private static final int MOST_CHANGES = 6;
    private static final int MOST_BYTES = 1 << 20;
    private static final int HEADER = 64;

    private final List<byte[]> seeds;
    private final List<byte[]> tokens;
    private final SplittableRandom random;

    /** {@code tokens}: what may be put in any place. */
    public Mutator(List<byte[]> seeds, List<byte[]> tokens, SplittableRandom random) {
        this.seeds = seeds;
        this.tokens = tokens;
        this.random = random;
    }

    /** Returns the next mutant. */
    public byte[] next() {
        byte[] bytes = seed().clone();
        boolean tensors = isSafetensors(bytes);
        if (tensors && random.nextInt(4) > 0) {
            int length = (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
            byte[] header = changed(Arrays.copyOfRange(bytes, 8, 8 + length));
            byte[] data = Arrays.copyOfRange(bytes, 8 + length, bytes.length);
            return ByteBuffer.allocate(8 + header.length + data.length)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(header.length)
                    .put(header)
                    .put(data)
                    .array();
        }
        bytes = changed(bytes);
        return random.nextInt(4) > 0 ? withRightChecksums(bytes) : bytes;
    }

    private byte[] seed() {
        return seeds.get(random.nextInt(seeds.size()));
    }

    private byte[] changed(byte[] original) {
        byte[] bytes = original;
        for (int k = random.nextInt(1, MOST_CHANGES); k > 0; k--) {
            bytes = bytes.length == 0 ? seed().clone() : change(bytes);
        }
        return bytes.length > MOST_BYTES ? Arrays.copyOf(bytes, MOST_BYTES) : bytes;
    }

    private byte[] change(byte[] bytes) {
        // Half of the changes hit the start, where most formats say what follows.
        int at = random.nextInt(random.nextBoolean() ? Math.min(HEADER, bytes.length) : bytes.length);
        int length = Math.min(1 << random.nextInt(10), bytes.length - at);
        return switch (random.nextInt(10)) {
            case 0 -> set(bytes, at, (byte) (bytes[at] ^ (1 << random.nextInt(8))));
            case 1 -> set(bytes, at, (byte) random.nextInt(256));
            case 2, 3 -> number(bytes, at);
            case 4 -> digits(bytes, at);
            case 5 -> replace(bytes, at, at + length, new byte[0]);
            case 6 -> replace(bytes, at, at, Arrays.copyOfRange(bytes, at, at + length));
            case 7 -> {
                byte[] other = seed();
                int from = random.nextInt(other.length + 1);
                byte[] part = Arrays.copyOfRange(other, from, from + Math.min(1 << random.nextInt(10), other.length - from));
                yield replace(bytes, at, random.nextBoolean() ? at : at + Math.min(part.length, bytes.length - at), part);
            }
            case 8 -> tokens.isEmpty()
                    ? Arrays.copyOf(bytes, at)
                    : replace(bytes, at, random.nextBoolean() ? at : at + length, tokens.get(random.nextInt(tokens.size())));
            default -> random.nextInt(4) == 0 ? Arrays.copyOf(bytes, at) : set(bytes, at, (byte) -random.nextInt(2));
        };
    }

    private static byte[] set(byte[] bytes, int at, byte value) {
        bytes[at] = value;
        return bytes;
    }

    private static byte[] replace(byte[] bytes, int from, int to, byte[] with) {
        byte[] result = new byte[bytes.length - (to - from) + with.length];
        System.arraycopy(bytes, 0, result, 0, from);
        System.arraycopy(with, 0, result, from, with.length);
        System.arraycopy(bytes, to, result, from + with.length, bytes.length - to);
        return result;
    }

    /** Writes a number of 1 to 8 bytes in either order. */
    private byte[] number(byte[] bytes, int at) {
        ByteOrder order = random.nextBoolean() ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(order);
        long value = INTERESTING[random.nextInt(INTERESTING.length)] + (random.nextInt(3) - 1);
        int size = Math.min(1 << random.nextInt(4), Integer.highestOneBit(bytes.length - at));
        switch (size) {
            case 8 -> buffer.putLong(at, value);
            case 4 -> buffer.putInt(at, (int) value);
            case 2 -> buffer.putShort(at, (short) value);
            default -> buffer.put(at, (byte) value);
        }
        return bytes;
    }

    /** Replaces the next number that is written in digits. */
    private byte[] digits(byte[] bytes, int start) {
        for (int at = start; at < bytes.length; at++) {
            if (bytes[at] >= '0' && bytes[at] <= '9') {
                int end = at;
                while (end < bytes.length && bytes[end] >= '0' && bytes[end] <= '9') {
                    end++;
                }
                String value = Long.toString(INTERESTING[random.nextInt(INTERESTING.length)]);
                return replace(bytes, at, end, value.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            }
        }
        return bytes;
    }

    private static boolean isSafetensors(byte[] bytes) {
        if (bytes.length < 10 || bytes[8] != '{') {
            return false;
        }
        long length = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        return length > 0 && length <= bytes.length - 8;
    }

    /** Puts the checksums of the chunks of a PNG file right; other files stay as they are. */
    public static byte[] withRightChecksums(byte[] png) {
        if (png.length < 8 || png[1] != 'P' || png[2] != 'N' || png[3] != 'G') {
            return png;
        }
        byte[] result = png.clone();
        ByteBuffer buffer = ByteBuffer.wrap(result);
        List<Integer> starts = new ArrayList<>();
        for (long at = 8; at <= png.length - 12; at += 12 + buffer.getInt((int) at)) {
            int length = buffer.getInt((int) at);
            if (length < 0 || length > png.length - at - 12) {
                break;
            }
            starts.add((int) at);
        }
        for (int at : starts) {
            int length = buffer.getInt(at);
            CRC32 crc = new CRC32();
            crc.update(result, at + 4, length + 4);
            buffer.putInt(at + 8 + length, (int) crc.getValue());
        }
        return result;
    }
}
