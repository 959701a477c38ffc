// SPDX-License-Identifier: Apache-2.0

/** The {@code halftone} command line. */
module dev.halftone.cli {
    requires dev.halftone.models;
    requires com.fasterxml.jackson.jr.ob;
    requires info.picocli;
    requires java.management;
    requires jdk.management;
    requires jdk.httpserver;
    requires jdk.incubator.vector;
    requires static org.jspecify;

    opens dev.halftone.cli to
            info.picocli;
}
