// SPDX-License-Identifier: Apache-2.0
package dev.halftone.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HexFormat;
import org.junit.jupiter.api.Test;

/** The examples of the Protocol Buffers encoding guide, and the limits. */
final class ProtobufTest {
    private static String hex(Protobuf message) {
        return HexFormat.ofDelimiter(" ").formatHex(message.toBytes());
    }

    @Test
    void writesIntegers() {
        assertThat(hex(new Protobuf().integer(1, 150))).isEqualTo("08 96 01");
        assertThat(hex(new Protobuf().integer(20, 0))).isEqualTo("a0 01 00");
        assertThat(hex(new Protobuf().integer(1, -2))).isEqualTo("08 fe ff ff ff ff ff ff ff ff 01");
    }

    @Test
    void writesStringsAndMessages() {
        assertThat(hex(new Protobuf().string(2, "testing"))).isEqualTo("12 07 74 65 73 74 69 6e 67");
        assertThat(hex(new Protobuf().message(3, new Protobuf().integer(1, 150))))
                .isEqualTo("1a 03 08 96 01");
        assertThat(new Protobuf().bytes(1, new byte[300]).toBytes())
                .hasSize(303)
                .startsWith(0x0a, 0xac, 0x02);
    }

    @Test
    void writesFieldsInTheOrderOfCalls() {
        assertThat(hex(new Protobuf().single(2, 1).integer(1, 1))).isEqualTo("15 00 00 80 3f 08 01");
    }
}
